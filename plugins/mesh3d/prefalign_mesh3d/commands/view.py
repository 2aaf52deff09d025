"""`prefalign mesh3d view`: what meshes look like from all sides, as one picture, with or without a display."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from prefalign.data.atomic import atomic_path
from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.commands.targets import target_files
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.files import read_mesh, write_mesh
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.welding import welded
from prefalign_mesh3d.metrics.functional.edges import boundary_edge_ratio, edges_of
from prefalign_mesh3d.rendering.cameras import Up, ring_of_cameras
from prefalign_mesh3d.rendering.pictures import Tile, contact_sheet
from prefalign_mesh3d.rendering.render import centred, render_mesh
from prefalign_mesh3d.tokenizers.files import read_tokens

if TYPE_CHECKING:
    from PIL.Image import Image

#: Most views of a mesh.
_MOST_VIEWS = 64


@dataclass(frozen=True)
class Look:
    """How meshes are looked at.

    Attributes:
        views: how many cameras, evenly around the vertical axis from azimuth 0 on.
        size: pixels along a side of a view.
        elevation: degrees above the horizon.
        up: vertical axis.

    Raises:
        PrefalignError: for numbers out of range.
    """

    views: int = 4
    size: int = 224
    elevation: float = 20.0
    up: Up = "z"

    def __post_init__(self) -> None:
        if not 1 <= self.views <= _MOST_VIEWS:
            raise PrefalignError(f"expected 1 to {_MOST_VIEWS} views, got {self.views}")
        if not 16 <= self.size <= 2048:
            raise PrefalignError(f"expected 16 to 2048 pixels along a side, got {self.size}")

    @property
    def azimuths(self) -> list[float]:
        """Degrees."""
        return [360 / self.views * number for number in range(self.views)]

    def row(self, mesh: Mesh, caption: str, frame: Mesh | None = None) -> list[Tile]:
        """One tile a view, the caption below the first.

        Args:
            mesh: with at least one face.
            caption: text.
            frame: the mesh whose place and size decide those of the picture; the mesh itself if None.

        Raises:
            MeshError: for a mesh that reaches a camera.
        """
        like = frame or mesh
        shown = Mesh(centred(mesh.vertices, like=like.vertices[np.unique(like.faces)]), mesh.faces)
        # Beside a reference, there is room for what is larger than it should be.
        distance = 3.6 if frame is not None else None
        cameras = ring_of_cameras(self.azimuths, self.elevation, distance, up=self.up)
        images = render_mesh(shown, cameras, self.size).images.numpy()
        return [Tile(image, "" if number else caption) for number, image in enumerate(images)]


def view(files: Sequence[Path], references: Sequence[Path], look: Look) -> tuple[Image, list[Mesh]]:
    """The sheet: a row per file, below the row of its reference where there is one; and the meshes of the files.

    Args:
        files: meshes, or the ids that `prefalign mesh3d tokenize --out` wrote.
        references: none, one for all files, or one for each; what is drawn beside one is at its scale.
        look: cameras and size.

    Raises:
        PrefalignError: for files that cannot be read, or another number of references.
    """
    if len(references) not in (0, 1, len(files)):
        raise PrefalignError(
            f"expected one reference for all files or one for each of {len(files)}, got {len(references)}"
        )
    beside = list(references) * len(files) if len(references) == 1 else list(references)
    rows, meshes, shown = [], [], None
    for number, file in enumerate(files):
        mesh, frame = _read(file), None
        if beside:
            frame = _read(beside[number])
            if beside[number] != shown:
                rows.append(look.row(frame, f"{_said(beside[number], frame)}, the reference", frame))
            shown = beside[number]
        try:
            rows.append(look.row(mesh, _said(file, mesh), frame))
        except MeshError as error:
            raise MeshError(f"{file}: {error}") from error
        meshes.append(mesh)
    headings = [f"azimuth {azimuth:g}" for azimuth in look.azimuths]
    return contact_sheet(rows, headings), meshes


def _read(file: Path) -> Mesh:
    mesh = read_tokens(file).decode()[0] if file.suffix == ".npz" else welded(read_mesh(file))
    if not len(mesh.faces):
        raise MeshError(f"{file}: its tokens have no face")
    return mesh


def _said(file: Path, mesh: Mesh) -> str:
    try:
        opened = f"open edges {boundary_edge_ratio(edges_of(mesh)):.1%}"
    except MeshError:
        opened = "no proper face"
    return f"{file.name}: {len(mesh.faces):,} faces\n{opened}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign mesh3d view",
        description="Draw meshes from all sides, a row each; faces seen from behind are reddish.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="meshes, or the .npz of their tokens")
    parser.add_argument("--out", type=Path, required=True, metavar="PICTURE.png", help="write the picture there")
    parser.add_argument("--views", type=int, default=Look.views, metavar="N", help=f"sides of each ({Look.views})")
    parser.add_argument("--size", type=int, default=Look.size, metavar="PX", help=f"pixels of a view ({Look.size})")
    parser.add_argument("--elevation", type=float, default=Look.elevation, metavar="DEG", help="of the cameras (20)")
    parser.add_argument("--up", choices=get_args(Up), default=Look.up, help="vertical axis (z; of most GLB files y)")
    parser.add_argument(
        "--reference",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="what they should be: one, or one for each",
    )
    parser.add_argument("--glb", type=Path, metavar="FOLDER", help="also write each mesh there, for a viewer to open")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0, or 2 where a file cannot be read, drawn or written.
    """
    options = _parser().parse_args(argv)
    try:
        if options.out.suffix.lower() != ".png":
            raise PrefalignError(f"{options.out}: expected a name that ends in .png")
        targets = target_files(options.files, options.glb, ".glb") if options.glb else []
        look = Look(options.views, options.size, options.elevation, options.up)
        sheet, meshes = view(options.files, options.reference, look)
        try:
            with atomic_path(options.out) as partial:
                sheet.save(partial, "PNG")
            for mesh, target in zip(meshes, targets, strict=False):
                write_mesh(mesh, target)
        except OSError as error:
            raise PrefalignError(f"{error.filename or options.out}: {error.strerror or error}") from error
    except PrefalignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {len(options.files)} meshes from {look.views} sides, {sheet.width} x {sheet.height} pixels")
    for target in targets:
        print(target)
    return 0
