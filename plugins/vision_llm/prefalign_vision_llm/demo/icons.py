"""Twelve icons as data: shapes on a unit square, painted in order (later ones on top)."""

import dataclasses
import functools
import hashlib
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

_OVERSAMPLING = 8  # drawn this much larger, then averaged: a 12-pixel icon needs its edges smoothed


@dataclasses.dataclass(frozen=True)
class Shape:
    """A filled figure. ``points`` are x0, y0, x1, y1 of the bounding box, or the corners of the polygon, in 0..1."""

    kind: Literal["rectangle", "ellipse", "polygon"]
    points: tuple[float, ...]
    colour: tuple[int, int, int]


def _box(x0: float, y0: float, x1: float, y1: float, colour: tuple[int, int, int]) -> Shape:
    return Shape("rectangle", (x0, y0, x1, y1), colour)


def _oval(x0: float, y0: float, x1: float, y1: float, colour: tuple[int, int, int]) -> Shape:
    return Shape("ellipse", (x0, y0, x1, y1), colour)


def _poly(colour: tuple[int, int, int], *points: float) -> Shape:
    return Shape("polygon", points, colour)


ICONS: dict[str, tuple[Shape, ...]] = {
    "cup": (
        _oval(0.55, 0.30, 1.00, 0.75, (200, 40, 40)),
        _oval(0.66, 0.41, 0.89, 0.64, (245, 235, 225)),
        _box(0.08, 0.15, 0.70, 0.92, (200, 40, 40)),
    ),
    "plate": (
        _oval(0.00, 0.00, 1.00, 1.00, (60, 110, 200)),
        _oval(0.14, 0.14, 0.86, 0.86, (250, 250, 250)),
        _oval(0.32, 0.32, 0.68, 0.68, (170, 195, 235)),
    ),
    "bottle": (
        _box(0.40, 0.00, 0.60, 0.40, (20, 70, 40)),
        _box(0.25, 0.32, 0.75, 1.00, (30, 120, 60)),
        _box(0.25, 0.55, 0.75, 0.80, (240, 230, 170)),
    ),
    "pan": (
        _box(0.55, 0.42, 1.00, 0.58, (120, 70, 30)),
        _oval(0.00, 0.18, 0.68, 0.86, (25, 25, 25)),
        _oval(0.12, 0.30, 0.56, 0.74, (90, 90, 90)),
    ),
    "laptop": (
        _box(0.12, 0.08, 0.88, 0.65, (60, 60, 70)),
        _box(0.20, 0.16, 0.80, 0.57, (70, 190, 240)),
        _poly((150, 150, 160), 0.12, 0.68, 0.88, 0.68, 1.00, 0.92, 0.00, 0.92),
    ),
    "book": (
        _poly((110, 40, 130), 0.00, 0.12, 0.48, 0.24, 0.48, 0.96, 0.00, 0.84),
        _poly((160, 80, 190), 1.00, 0.12, 0.52, 0.24, 0.52, 0.96, 1.00, 0.84),
        _box(0.46, 0.20, 0.54, 0.98, (250, 245, 220)),
    ),
    "lamp": (
        _poly((250, 200, 40), 0.30, 0.00, 0.70, 0.00, 0.95, 0.48, 0.05, 0.48),
        _box(0.45, 0.48, 0.55, 0.88, (80, 60, 40)),
        _box(0.22, 0.85, 0.78, 1.00, (80, 60, 40)),
    ),
    "phone": (
        _box(0.25, 0.00, 0.75, 1.00, (15, 15, 20)),
        _box(0.32, 0.12, 0.68, 0.76, (230, 90, 170)),
        _oval(0.43, 0.81, 0.57, 0.95, (220, 220, 220)),
    ),
    "tree": (
        _box(0.42, 0.55, 0.58, 1.00, (110, 70, 30)),
        _poly((20, 130, 30), 0.50, 0.00, 0.95, 0.68, 0.05, 0.68),
        _poly((40, 170, 50), 0.50, 0.00, 0.78, 0.38, 0.22, 0.38),
    ),
    "dog": (
        _box(0.05, 0.40, 0.72, 0.70, (170, 110, 50)),
        _oval(0.58, 0.10, 1.00, 0.55, (170, 110, 50)),
        _box(0.08, 0.66, 0.22, 1.00, (120, 75, 30)),
        _box(0.55, 0.66, 0.69, 1.00, (120, 75, 30)),
        _oval(0.86, 0.28, 0.98, 0.40, (10, 10, 10)),
    ),
    "bench": (
        _box(0.00, 0.22, 1.00, 0.38, (150, 60, 20)),
        _box(0.00, 0.48, 1.00, 0.62, (190, 90, 40)),
        _box(0.08, 0.20, 0.20, 0.98, (40, 40, 50)),
        _box(0.80, 0.20, 0.92, 0.98, (40, 40, 50)),
    ),
    "kite": (
        _poly((230, 50, 60), 0.55, 0.00, 0.98, 0.36, 0.55, 0.36),
        _poly((50, 90, 220), 0.55, 0.00, 0.55, 0.36, 0.14, 0.36),
        _poly((250, 220, 60), 0.14, 0.36, 0.98, 0.36, 0.46, 0.80),
        _poly((30, 30, 30), 0.44, 0.76, 0.50, 0.78, 0.16, 1.00, 0.08, 0.98),
    ),
}


class IconLibrary:
    """Sprites drawn from :data:`ICONS`."""

    @property
    def fingerprint(self) -> str:
        """Digest of the shapes."""
        return hashlib.sha256(f"{_OVERSAMPLING} {ICONS}".encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """Objects this library can draw."""
        return tuple(ICONS)

    def sprite(self, name: str, size: int, rng: np.random.Generator) -> Image.Image:
        """RGBA image of ``size`` x ``size`` pixels; an icon looks the same every time, so ``rng`` goes unused."""
        return _draw_icon(name, size)


@functools.cache
def _draw_icon(name: str, size: int) -> Image.Image:
    side = size * _OVERSAMPLING
    large = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(large)
    for shape in ICONS[name]:
        corners = [coordinate * (side - 1) for coordinate in shape.points]
        getattr(draw, shape.kind)(corners, fill=(*shape.colour, 255))
    return large.resize((size, size), Image.Resampling.BOX)
