"""The furniture of the demonstration: tables, beds, steps and pedestals made of axis-aligned boxes.

A box is written by hand as 8 vertices and 12 triangles. Parts stand a gap apart, so that 16 levels do not weld them,
and each is a closed surface of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from prefalign_mesh3d.mesh.grid import face_keys, quantise
from prefalign_mesh3d.mesh.mesh import Mesh

#: Cells along a side of the cube on which shapes are told apart.
LEVELS = 16

#: Values that each measure of a shape can take, evenly spaced in its range.
STEPS = 7

#: Distance between parts, in the unit of the shapes, whose longest side is about 2.
GAP = 0.16

# Corners by the bits of their number: x is bit 0, y bit 1, z bit 2. Counter-clockwise seen from outside.
_CORNERS = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)])
_QUADS = np.array([[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]])
_TRIANGLES = np.concatenate([_QUADS[:, [0, 1, 2]], _QUADS[:, [0, 2, 3]]])

Box = tuple[tuple[float, float, float], tuple[float, float, float]]
Measure = Callable[[float, float], float]


def boxes(parts: Iterable[Box]) -> Mesh:
    """Boxes, each given by its lowest and its highest corner, as one mesh."""
    vertices, faces = [], []
    for index, (low, high) in enumerate(parts):
        vertices.append(np.where(_CORNERS == 1, high, low))
        faces.append(_TRIANGLES + 8 * index)
    return Mesh(np.concatenate(vertices), np.concatenate(faces))


def _slab_table(m: Measure) -> list[Box]:
    """A top on two slabs."""
    width, depth, height, top, leg = m(1.2, 2.0), m(0.8, 1.6), m(0.7, 1.5), m(0.15, 0.3), m(0.2, 0.4)
    under = height - top - GAP
    return [
        ((0, 0, height - top), (width, depth, height)),
        ((0, 0, 0), (leg, depth, under)),
        ((width - leg, 0, 0), (width, depth, under)),
    ]


def _bed(m: Measure) -> list[Box]:
    """A mattress and a head board."""
    length, depth, height, board, rise = m(1.5, 2.0), m(0.9, 1.5), m(0.3, 0.6), m(0.15, 0.3), m(0.3, 0.8)
    return [((board + GAP, 0, 0), (length, depth, height)), ((0, 0, 0), (board, depth, height + rise))]


def _steps(m: Measure) -> list[Box]:
    """Two or three steps, one behind the other."""
    parts: list[Box] = []
    front, height, depth = 0.0, 0.0, m(0.8, 1.8)
    for _ in range(2 if m(0, 1) < 0.5 else 3):
        back, height = front + m(0.35, 0.65), height + m(0.25, 0.55)
        parts.append(((front, 0, 0), (back, depth, height)))
        front = back + GAP
    return parts


def _pedestal_table(m: Measure) -> list[Box]:
    """A foot, a column, a top."""
    width, foot, column = m(1.2, 2.0), m(0.6, 1.1), m(0.2, 0.4)
    height, top, base = m(1.0, 1.7), m(0.15, 0.3), m(0.15, 0.3)

    def square(side: float, low: float, high: float) -> Box:
        edge = (width - side) / 2
        return ((edge, edge, low), (edge + side, edge + side, high))

    return [
        square(width, height - top, height),
        square(column, base + GAP, height - top - GAP),
        square(foot, 0, base),
    ]


FAMILIES = (_slab_table, _bed, _steps, _pedestal_table)


def draw_shapes(count: int, seed: int, exclude: Iterable[Mesh] = ()) -> list[Mesh]:
    """Shapes of random families and measures.

    Args:
        count: how many.
        seed: of the draw.
        exclude: shapes none of which may come out again, as they look on 16 levels.
    """
    rng = np.random.default_rng(seed)
    taken = {shape_key(shape) for shape in exclude}
    shapes: list[Mesh] = []

    def measure(low: float, high: float) -> float:
        return low + (high - low) * int(rng.integers(STEPS)) / (STEPS - 1)

    while len(shapes) < count:
        shape = boxes(FAMILIES[int(rng.integers(len(FAMILIES)))](measure))
        if not taken or shape_key(shape) not in taken:
            shapes.append(shape)
    return shapes


def shape_key(shape: Mesh) -> bytes:
    """Equal for shapes that are one on 16 levels."""
    return face_keys(quantise(shape, LEVELS)).tobytes()
