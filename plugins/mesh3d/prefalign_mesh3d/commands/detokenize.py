"""`prefalign mesh3d detokenize`: token files back to meshes."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prefalign.cli.table import render_table
from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.commands.targets import target_files
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.files import write_mesh
from prefalign_mesh3d.tokenizers.files import read_tokens


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one file; None where it cannot be used.

    Attributes:
        file: its path.
        mesh: the file that was written.
        faces: of the decoded mesh.
        bad_tokens, degenerate, duplicate: what the decoder dropped (see `DecodeReport`).
        error: why the file cannot be used.
    """

    file: str
    mesh: str | None = None
    faces: int | None = None
    bad_tokens: int | None = None
    degenerate: int | None = None
    duplicate: int | None = None
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values; `error` only where there is one."""
        values = asdict(self)
        return values if self.error else {key: value for key, value in values.items() if key != "error"}


def detokenize_file(path: Path, target: Path) -> Row:
    """Decode one file into another; what cannot be done is said in its row."""
    try:
        mesh, decoded = read_tokens(path).decode()
        if not len(mesh.faces):
            raise MeshError(f"{path}: its {len(decoded.face_of_token)} tokens have no face")
        write_mesh(mesh, target)
    except (MeshError, OSError) as error:
        return Row(str(path), error=str(error).removeprefix(f"{path}: "))
    return Row(str(path), str(target), len(mesh.faces), **asdict(decoded.report))


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0; 1 where a file could not be used; 2 for arguments that make no sense.
    """
    parser = argparse.ArgumentParser(
        prog="prefalign mesh3d detokenize",
        description="Decode what `tokenize --out` wrote, or any ids in the same form, into mesh files.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=".npz files")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="write the meshes there")
    parser.add_argument("--format", choices=("glb", "obj"), default="glb", help="of the meshes (default: glb)")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    options = parser.parse_args(argv)
    try:
        targets = target_files(options.files, options.out, f".{options.format}")
    except PrefalignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rows = [detokenize_file(file, target) for file, target in zip(options.files, targets, strict=True)]
    if options.json:
        print(json.dumps([row.as_json() for row in rows], indent=2))
    else:
        names = ["file", "mesh", "faces", "bad_tokens", "degenerate", "duplicate", "error"]
        cells = [["" if (value := asdict(row)[name]) is None else str(value) for name in names] for row in rows]
        print(render_table([name.replace("_", " ") for name in names], cells))
    failed = [row for row in rows if row.error]
    for row in failed:
        print(f"error: {row.file}: {row.error}", file=sys.stderr)
    return 1 if failed else 0
