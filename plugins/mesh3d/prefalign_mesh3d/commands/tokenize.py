"""`prefalign mesh3d tokenize`: meshes to tokens, what they cost, and whether they come back."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from prefalign.cli.table import render_table
from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.commands.targets import target_files
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.files import read_mesh
from prefalign_mesh3d.mesh.grid import face_keys, frame_of, quantise
from prefalign_mesh3d.tokenizers.base import MeshTokenizer
from prefalign_mesh3d.tokenizers.files import TokenFile, write_tokens
from prefalign_mesh3d.tokenizers.names import TOKENIZERS, tokenizer
from prefalign_mesh3d.tokenizers.statistics import TOKENS_PER_LOOSE_FACE


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one file; None where the file cannot be used.

    Attributes:
        file: its path.
        faces: faces of the mesh on the grid: welded, without degenerate and repeated ones.
        tokens: ids of geometry.
        tokens_per_face: of these.
        ratio: tokens_per_face / 9.
        round_trip: whether the decoded mesh has the same faces.
        seconds: from the mesh in memory to its tokens.
        error: why the file cannot be used.
    """

    file: str
    faces: int | None = None
    tokens: int | None = None
    tokens_per_face: float | None = None
    ratio: float | None = None
    round_trip: bool | None = None
    seconds: float | None = None
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values; `error` only where there is one."""
        values = asdict(self)
        return values if self.error else {key: value for key, value in values.items() if key != "error"}


def tokenize_file(path: Path, how: MeshTokenizer, target: Path | None = None) -> Row:
    """Tokenize one file, write the ids if there is a target, and say what came of it."""
    try:
        mesh = read_mesh(path)
        began = perf_counter()
        frame = frame_of(mesh)
        grid = quantise(mesh, how.levels, frame)
        tokens = how.encode(grid)
        seconds = perf_counter() - began
        if not len(grid.faces):
            raise MeshError(f"{path}: no face is left on {how.levels} levels")
        decoded = how.decode(tokens)
        same = np.array_equal(face_keys(decoded.mesh, winding=False), face_keys(grid, winding=False))
        if target is not None:
            write_tokens(TokenFile(tokens, how, frame), target)
    except (MeshError, OSError) as error:
        return Row(str(path), error=str(error).removeprefix(f"{path}: "))
    per_face = len(tokens) / len(grid.faces)
    ratio = per_face / TOKENS_PER_LOOSE_FACE
    return Row(str(path), len(grid.faces), len(tokens), per_face, ratio, same, seconds)


def json_settings(text: str) -> dict[str, Any]:
    """The arguments of a tokenizer, given on the command line.

    Raises:
        PrefalignError: for what is no JSON object.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise PrefalignError(f"--settings is not JSON ({error}); expected such as '{{\"levels\": 256}}'") from error
    if not isinstance(value, dict):
        raise PrefalignError(f"--settings must be a JSON object such as '{{\"levels\": 256}}', got {text!r}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign mesh3d tokenize",
        description="Encode meshes, decode them again, and say what they cost beside 9 tokens a face.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="mesh files")
    parser.add_argument("--tokenizer", default="deepmesh", metavar="NAME", help=f"{', '.join(TOKENIZERS)}")
    parser.add_argument("--settings", default="{}", metavar="JSON", help="its arguments, such as '{\"compat\": true}'")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write the ids there, one .npz a file")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    return parser


def _as_text(rows: Sequence[Row]) -> str:
    header = ["file", "faces", "tokens", "per face", "ratio", "round trip", "ms", "remarks"]
    table = []
    for row in rows:
        cells = [""] * 6
        if row.error is None:
            numbers = (f"{row.tokens_per_face:.3f}", f"{row.ratio:.4f}", "same" if row.round_trip else "DIFFERS")
            cells = [str(row.faces), str(row.tokens), *numbers, f"{1000 * (row.seconds or 0):.2f}"]
        table.append([row.file, *cells, row.error or ""])
    ratios = [row.ratio for row in rows if row.ratio is not None]
    mean = f"\n\nmean ratio to 9 tokens a face, over {len(ratios)} files: {np.mean(ratios):.4f}" if ratios else ""
    return render_table(header, table) + mean


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0; 1 where a file could not be used or did not come back; 2 for arguments that make no sense.
    """
    options = _parser().parse_args(argv)
    try:
        how = tokenizer(options.tokenizer, **json_settings(options.settings))
        targets = target_files(options.files, options.out, ".npz") if options.out else [None] * len(options.files)
    except PrefalignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rows = [tokenize_file(file, how, target) for file, target in zip(options.files, targets, strict=True)]
    print(json.dumps([row.as_json() for row in rows], indent=2) if options.json else _as_text(rows))
    for row in rows:
        if row.error:
            print(f"error: {row.file}: {row.error}", file=sys.stderr)
        elif not row.round_trip:
            print(f"error: {row.file}: the decoded mesh has other faces", file=sys.stderr)
    return 0 if all(row.round_trip for row in rows) else 1
