"""`prefalign mesh3d view`: meshes as pictures, without a display, and as GLB files for a viewer."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from prefalign.cli.table import render_table
from prefalign.data.atomic import atomic_path
from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.files import read_mesh, write_mesh
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.rendering.cameras import Camera, Up, ring_of_cameras
from prefalign_mesh3d.rendering.pictures import Tile, contact_sheet, tile_of
from prefalign_mesh3d.rendering.render import centred, render_mesh
from prefalign_mesh3d.tokenizers.files import read_tokens

#: Distance of the cameras from shapes beside a reference; 2.92 is enough for the unit ball.
_ROOMY = 3.6
#: Formats that say themselves that y is up.
_Y_UP = (".glb", ".gltf")


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one file; None where it cannot be used.

    Attributes:
        file: its path.
        faces, vertices: of the mesh.
        up: the axis that points upwards in its pictures.
        glb: the GLB file that was written, if one was asked for.
        error: why the file cannot be used.
    """

    file: str
    faces: int | None = None
    vertices: int | None = None
    up: Up | None = None
    glb: str | None = None
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values, without those that are None."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Look:
    """How files are drawn.

    Attributes:
        views: pictures of each file, evenly spaced around it.
        size: pixels along a side of a picture.
        elevation: degrees above the horizon.
        up: vertical axis; that of the file's format if None.

    Raises:
        PrefalignError: for no view, or an angle out of range.
    """

    views: int = 4
    size: int = 224
    elevation: float = 20.0
    up: Up | None = None

    def __post_init__(self) -> None:
        if self.views < 1 or self.size < 1:
            raise PrefalignError(f"expected at least 1 view of at least 1 pixel, got {self.views} of {self.size}")
        ring_of_cameras((0,), self.elevation)

    def up_of(self, file: Path) -> Up:
        """The vertical axis of a file: y in glTF, whose format says so, and z elsewhere."""
        return self.up or ("y" if file.suffix.lower() in _Y_UP else "z")

    def cameras(self, up: Up, distance: float | None = None) -> tuple[Camera, ...]:
        """The cameras around a shape: a little off the front, so that boxes show two sides in every picture."""
        azimuths = [30 + 360 * number / self.views for number in range(self.views)]
        return ring_of_cameras(azimuths, self.elevation, distance, up=up)


def view_file(
    file: Path, look: Look, target: Path | None = None, reference: Path | None = None
) -> tuple[Row, list[Tile]]:
    """The pictures of one file, side by side, and those of its reference; what cannot be done is said in its row.

    Args:
        file: a mesh, or ids that `prefalign mesh3d tokenize --out` wrote.
        look: how it is drawn.
        target: where to write it as GLB, turned so that it stands upright in viewers.
        reference: likewise a mesh or ids, whose place, size and vertical axis are those of both pictures.
    """
    try:
        mesh, up = _read(file), look.up_of(reference or file)
        beside = [(file, mesh)] if reference is None else [(file, mesh), (reference, _read(reference))]
        # Beside another shape there is room for what is larger than it should be.
        cameras = look.cameras(up, None if reference is None else _ROOMY)
        tiles = [_tile(*one, beside[-1][1], cameras, look.size) for one in beside]
        if target is not None:
            # x forward, y left, z up becomes x left, y up, z forward: a turn, no mirror.
            write_mesh(mesh if up == "y" else Mesh(mesh.vertices[:, [1, 2, 0]], mesh.faces), target)
    except (MeshError, OSError) as error:
        return Row(str(file), error=str(error).removeprefix(f"{file}: ")), []
    return Row(str(file), len(mesh.faces), len(mesh.vertices), up, None if target is None else str(target)), tiles


def _read(file: Path) -> Mesh:
    mesh = read_tokens(file).decode()[0] if file.suffix == ".npz" else read_mesh(file)
    if not len(mesh.faces):
        raise MeshError(f"{file}: has no faces")
    return mesh


def _tile(file: Path, mesh: Mesh, frame: Mesh, cameras: Sequence[Camera], size: int) -> Tile:
    placed = Mesh(centred(mesh.vertices, like=frame.vertices[frame.faces.ravel()]), mesh.faces)
    try:
        views = render_mesh(placed, cameras, size)
    except MeshError as error:
        raise MeshError(f"{file}: {error}") from error
    return tile_of(views, f"{file.name}: {len(mesh.faces)} faces, {len(mesh.vertices)} vertices")


def references_of(files: Sequence[Path], references: Sequence[Path]) -> list[Path | None]:
    """The reference of each file, if it has one.

    Raises:
        PrefalignError: unless there is none, one for all files, or one for each.
    """
    if len(references) not in (0, 1, len(files)):
        problem = f"expected one reference for all files or one for each of {len(files)}, got {len(references)}"
        raise PrefalignError(problem)
    return list(references) if len(references) == len(files) else [*references, None][:1] * len(files)


def glb_targets(files: Sequence[Path], picture: Path) -> list[Path]:
    """A GLB file beside the picture for each file, named after both.

    Raises:
        PrefalignError: if two would be written to one, or one over a file that is to be read.
    """
    taken: dict[Path, Path] = {}
    for file in files:
        target = picture.with_name(f"{picture.stem}-{file.stem}.glb")
        if target in taken or any(target.resolve() == other.resolve() for other in files):
            raise PrefalignError(f"{target} would be written over {taken.get(target, target)}; give --out another name")
        taken[target] = file
    return list(taken)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign mesh3d view",
        description="Draw meshes from around into one picture, a row per file. Faces seen from behind are reddish.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="meshes, or .npz files of their tokens")
    parser.add_argument("--out", type=Path, required=True, metavar="PICTURE", help="the .png to write")
    parser.add_argument("--views", type=int, default=4, metavar="N", help="pictures of each (4)")
    parser.add_argument("--size", type=int, default=224, metavar="PX", help="pixels along a side of a picture (224)")
    parser.add_argument("--elevation", type=float, default=20.0, metavar="DEG", help="height of the cameras (20)")
    parser.add_argument("--up", choices=get_args(Up), help="vertical axis (y of glb and gltf, z of others)")
    parser.add_argument(
        "--reference", nargs="+", type=Path, default=[], metavar="FILE", help="draw what they should be beside them"
    )
    parser.add_argument("--glb", action="store_true", help="write each mesh as GLB beside the picture")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0; 1 where a file could not be used; 2 for arguments that make no sense.
    """
    options = _parser().parse_args(argv)
    picture, files = options.out, options.files
    try:
        if picture.suffix.lower() != ".png":
            raise PrefalignError(f"--out {picture}: expected a name that ends in .png")
        look = Look(options.views, options.size, options.elevation, options.up)
        targets = glb_targets(files, picture) if options.glb else [None] * len(files)
        beside = references_of(files, options.reference)
        picture.parent.mkdir(parents=True, exist_ok=True)
        found = [view_file(file, look, *more) for file, *more in zip(files, targets, beside, strict=True)]
        tiles = [tiles for _, tiles in found if tiles]
        if tiles:
            with atomic_path(picture) as partial:
                contact_sheet(tiles, ("", "reference") if options.reference else ()).save(partial, "PNG")
    except (PrefalignError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rows = [row for row, _ in found]
    if options.json:
        print(json.dumps([row.as_json() for row in rows], indent=2))
    else:
        names = ["file", "faces", "vertices", "up", "glb", "error"]
        cells = [["" if (value := asdict(row)[name]) is None else str(value) for name in names] for row in rows]
        print(render_table(names, cells) + (f"\n\n{len(tiles)} drawn in {picture}" if tiles else ""))
    failed = [row for row in rows if row.error]
    for row in failed:
        print(f"error: {row.file}: {row.error}", file=sys.stderr)
    return 1 if failed else 0
