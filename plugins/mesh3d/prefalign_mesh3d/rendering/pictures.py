"""Tiles with captions in one picture, and the comparison of what a generator makes before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.rendering.cameras import Camera, ring_of_cameras
from prefalign_mesh3d.rendering.render import centred, render_mesh, render_points
from prefalign_mesh3d.rendering.views import Shading, Views

if TYPE_CHECKING:
    from PIL.Image import Image

#: Pixels: around tiles, and between the lines of a caption.
_GAP, _LEADING = 8, 4
_TEXT, _FAINT, _PAPER = (30, 34, 40), (110, 116, 124), (255, 255, 255)
#: Most pixels along a side of a sheet.
_LARGEST = 32768


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One cell of a sheet.

    Attributes:
        image: (H, W, 3) uint8; all tiles of a sheet have one shape.
        caption: text below it; every line break begins a line.
    """

    image: np.ndarray
    caption: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One row of a comparison; all three in one frame, such as the cube [-1, 1].

    Attributes:
        cloud: (P, 3) or (P, 6) input points, with or without normals.
        before, after: what two generators made of them; None or without faces where one made nothing.
        captions: texts below cloud, before and after: names, and the metrics as the caller computed them.
    """

    cloud: np.ndarray
    before: Mesh | None
    after: Mesh | None
    captions: tuple[str, str, str] = ("", "", "")


def tile_of(views: Views, caption: str = "") -> Tile:
    """The pictures of all cameras side by side as one tile."""
    return Tile(np.concatenate(list(views.images.numpy()), axis=1), caption)


def contact_sheet(rows: Sequence[Sequence[Tile]], columns: Sequence[str] = (), title: str = "") -> Image:
    """Tiles in rows, as a Pillow picture.

    Args:
        rows: tiles from left to right; shorter rows end early.
        columns: headings.
        title: line above all.

    Raises:
        PrefalignError: for no tile, tiles of several shapes, or a sheet that would be larger than 32768 pixels.
    """
    from PIL import Image, ImageDraw, ImageFont

    shapes = {tile.image.shape for row in rows for tile in row}
    if len(shapes) != 1:
        raise PrefalignError(f"expected tiles of one shape, got {sorted(shapes) or 'none'}")
    ((height, width, _),) = shapes
    small, large = ImageFont.load_default(13), ImageFont.load_default(17)
    line = 13 + _LEADING
    across = max(len(columns), *(len(row) for row in rows))
    top = _GAP + (line + _LEADING + _GAP if title else 0) + (line + _GAP if columns else 0)
    # A row is as high as its longest caption needs.
    notes = [max(tile.caption.count("\n") + 1 if tile.caption else 0 for tile in row) if row else 0 for row in rows]
    heights = [height + count * line + 2 * _GAP for count in notes]
    size = (_GAP + across * (width + _GAP), top + sum(heights))
    if max(size) > _LARGEST:
        raise PrefalignError(f"a sheet of {size[0]} x {size[1]} pixels is too large; draw fewer or smaller tiles")
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((_GAP, _GAP), _fitting(title, large, size[0] - 2 * _GAP), _TEXT, large)
    for column, heading in enumerate(columns):
        place = (_GAP + column * (width + _GAP), top - line - _GAP)
        draw.text(place, _fitting(heading, small, width), _TEXT, small)
    y = top
    for row, high in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            x = _GAP + column * (width + _GAP)
            sheet.paste(Image.fromarray(np.ascontiguousarray(tile.image)), (x, y))
            for number, text in enumerate(tile.caption.split("\n")):
                draw.text((x, y + height + _LEADING + number * line), _fitting(text, small, width), _FAINT, small)
        y += high
    return sheet


def comparison(
    examples: Sequence[Example],
    columns: tuple[str, str, str] = ("input points", "before", "after"),
    cameras: Sequence[Camera] | None = None,
    size: int = 256,
    title: str = "",
    shading: Shading | None = None,
) -> Image:
    """A row per example: the cloud, and the meshes before and after, seen by the same cameras at the same scale.

    Args:
        examples: at least one.
        columns: headings.
        cameras: one from the front, a little to the left and from above, if None.
        size: pixels along a side of a view.
        title: line above all.
        shading: colours and light.

    Raises:
        MeshError: for a cloud without points, or a mesh that reaches a camera.
        PrefalignError: for no example.
    """
    # Half as far again as the cloud needs: what a generator makes may be larger than it should be.
    chosen = cameras or ring_of_cameras((35,), elevation=25, distance=3.6, fov=40)
    return contact_sheet([_row(example, chosen, size, shading) for example in examples], columns, title)


def _row(example: Example, cameras: Sequence[Camera], size: int, shading: Shading | None) -> list[Tile]:
    cloud = np.asarray(example.cloud, np.float64)
    place, normals = cloud[:, :3], cloud[:, 3:6] if cloud.shape[1] >= 6 else None
    points = render_points(centred(place), normals, cameras, size, shading, radius=max(1.0, size / 170))
    tiles = [tile_of(points, example.captions[0])]
    for mesh, caption in zip((example.before, example.after), example.captions[1:], strict=True):
        made = mesh or Mesh(np.zeros((0, 3)), np.zeros((0, 3)))
        shown = Mesh(centred(made.vertices, like=place), made.faces)
        tiles.append(tile_of(render_mesh(shown, cameras, size, shading, supersample=3), caption))
    return tiles


def _fitting(text: str, font: object, width: int) -> str:
    """The text, cut with an ellipsis where it is wider than `width` pixels."""
    length = font.getlength  # type: ignore[attr-defined]  # Pillow's fonts have no common class
    if length(text) <= width:
        return text
    while text and length(text + "…") > width:
        text = text[:-1]
    return text + "…"


__all__ = ["Example", "Tile", "comparison", "contact_sheet", "tile_of"]
