"""Real coordinates to cells of a cube and back, and the one order of vertices and faces that tokenizers start from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import GridMesh, Mesh, bounds
from prefalign_mesh3d.mesh.sorting import BITS, bits_of, first_of_runs, sorted_with_order

#: Half of the longest side after placing, inside the cube [-1, 1]. DeepMesh's and BPT's preprocessing use it.
HALF_SIDE = 0.95


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a mesh lies and how large it is: placed = (vertex - centre) / scale.

    Attributes:
        centre: x, y, z of the bounding box's centre, in the mesh's unit.
        scale: the mesh's unit per unit of the cube [-1, 1].
    """

    centre: tuple[float, float, float]
    scale: float

    def place(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) points in the cube."""
        return (points - np.array(self.centre)) / self.scale

    def restore(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) points of the cube back in the mesh's own unit."""
        return points * self.scale + np.array(self.centre)


def frame_of(mesh: Mesh, half_side: float = HALF_SIDE) -> Frame:
    """The frame in which the mesh's longest side spans 2 · half_side around 0.

    Raises:
        MeshError: for a mesh without vertices, or one so large that its extent overflows.
    """
    if not len(mesh.vertices):
        raise MeshError("the mesh has no vertices, so it has no size")
    low, high = bounds(mesh.vertices)
    with np.errstate(over="ignore"):
        longest = float((high - low).max())
        centre = (low / 2 + high / 2).tolist()
    if not np.isfinite(longest):
        raise MeshError(f"the mesh spans {low.tolist()} to {high.tolist()}, too large to be placed in a cube")
    # The small addend is that of the published preprocessing; it also keeps a single point finite.
    return Frame((centre[0], centre[1], centre[2]), (longest + 1e-6) / (2 * half_side))


def to_cells(points: np.ndarray, levels: int) -> np.ndarray:
    """(n, 3) int64 cells of points in [-1, 1]; points outside are moved to the border.

    A coordinate on the border of two cells goes to the even one, as in DeepMesh's and BPT's preprocessing.
    """
    return np.clip(np.rint((points + 1) / 2 * levels - 0.5), 0, levels - 1).astype(np.int64)


def from_cells(cells: np.ndarray, levels: int) -> np.ndarray:
    """(n, 3) float64 centres of cells, in [-1, 1]."""
    return (cells + 0.5) / levels * 2 - 1


def quantise(mesh: Mesh, levels: int, frame: Frame | None = None) -> GridMesh:
    """The mesh on a grid, welded and in canonical order (see `canonical`).

    Args:
        mesh: what to quantise; placed by its own frame, or by a given one.
    """
    frame = frame or frame_of(mesh)
    return canonical(to_cells(frame.place(mesh.vertices), levels), mesh.faces, levels)


def dequantise(grid: GridMesh) -> Mesh:
    """The mesh with its vertices at the centres of their cells, in the cube [-1, 1]."""
    return Mesh(from_cells(grid.vertices, grid.levels), grid.faces)


def canonical(cells: np.ndarray, faces: np.ndarray, levels: int) -> GridMesh:
    """One order for equal meshes: vertices by z, y, x; faces from their smallest vertex on, by their sorted vertices.

    Equal cells become one vertex; vertices without a face, faces with two equal corners and repeated faces are dropped.
    Of faces with the same three vertices that turn differently the one stays whose corners ascend. Otherwise
    orientation is kept.

    Args:
        cells: (V, 3) int64 in [0, levels).
        faces: (F, 3) int64.
    """
    if not len(faces):
        return GridMesh(np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64), levels)
    keys, index = distinct_cells(cells, levels)
    corners = _ordered(index[faces], len(keys))
    used, corners = used_vertices(corners, len(keys))
    return GridMesh(cells_of(keys[used], levels), corners, levels)


def is_canonical(grid: GridMesh) -> bool:
    """Whether a mesh is in the order that `canonical` gives."""
    keys = cell_keys(grid.vertices, grid.levels)
    a, b, c = grid.faces.T
    middle, high = np.minimum(b, c), np.maximum(b, c)
    first, second, third = (np.diff(column) for column in (a, middle, high))
    ascending = (first > 0) | ((first == 0) & ((second > 0) | ((second == 0) & (third > 0))))
    used = np.zeros(len(keys), bool)
    used[grid.faces] = True
    return bool((np.diff(keys) > 0).all() and (a < middle).all() and (b != c).all() and ascending.all() and used.all())


def _ordered(faces: np.ndarray, count: int) -> np.ndarray:
    """(F, 3) faces in canonical order, without degenerate and repeated ones; corners are in [0, count)."""
    a, b, c = faces.T
    low = np.minimum(np.minimum(a, b), c)
    high = np.maximum(np.maximum(a, b), c)
    middle = a + b + c - low - high
    # Whether the corners are an odd permutation of (low, middle, high): with these three it says all about the face.
    odd = (a > b) ^ (b > c) ^ (a > c)
    proper = (low < middle) & (middle < high)
    low, middle, high, odd = low[proper], middle[proper], high[proper], odd[proper]
    bits = bits_of(count)
    if 3 * bits + 1 <= BITS:
        keys = (((low << bits | middle) << bits | high) << 1) | odd
        keys.sort()
        keys = keys[first_of_runs(keys >> 1)]
        mask = (1 << bits) - 1
        odd = (keys & 1).astype(bool)
        low, middle, high = keys >> (2 * bits + 1), keys >> (bits + 1) & mask, keys >> 1 & mask
    else:
        order = np.lexsort((odd, high, middle, low))
        low, middle, high, odd = low[order], middle[order], high[order], odd[order]
        first = first_of_runs(low) | first_of_runs(middle) | first_of_runs(high)
        low, middle, high, odd = low[first], middle[first], high[first], odd[first]
    return np.stack([low, np.where(odd, high, middle), np.where(odd, middle, high)], axis=1)


def cell_keys(cells: np.ndarray, levels: int) -> np.ndarray:
    """(n,) int64 one integer a cell (n, 3), ascending as (z, y, x) does."""
    return (cells[:, 2] * levels + cells[:, 1]) * levels + cells[:, 0]


def distinct_cells(cells: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """(m,) the keys of the different ones among cells (n, 3), ascending, and (n,) int64 which of these each is."""
    keys, order = sorted_with_order(cell_keys(cells, levels), levels**3)
    first = first_of_runs(keys)
    index = np.empty(len(keys), np.int64)
    index[order] = np.cumsum(first) - 1
    return keys[first], index


def cells_of(keys: np.ndarray, levels: int) -> np.ndarray:
    """(n, 3) int64 the cells that `cell_keys` gave one integer each."""
    rest, x = np.divmod(keys, levels)
    z, y = np.divmod(rest, levels)
    return np.stack([x, y, z], axis=1)


def used_vertices(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of `count` vertices some face has, ascending, and the faces (F, 3) renumbered to these."""
    seen = np.zeros(count, bool)
    seen[faces] = True
    if seen.all():
        return np.arange(count), faces
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[faces]


def sorted_rows(rows: np.ndarray, count: int) -> np.ndarray:
    """(n,) int64 the stable order of rows (n, 3) of integers in [0, count), first column first."""
    if count**3 < 1 << BITS:
        return sorted_with_order((rows[:, 0] * count + rows[:, 1]) * count + rows[:, 2], count**3)[1]
    return np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))


def rotated(faces: np.ndarray) -> np.ndarray:
    """(F, 3) the same faces with their smallest index first; orientation is kept."""
    if not len(faces):
        return faces
    shift = faces.argmin(1)[:, None] + np.arange(3)
    return np.take_along_axis(faces, shift % 3, axis=1)


def face_keys(grid: GridMesh, winding: bool = True) -> np.ndarray:
    """(F, 3) int64 faces as sorted rows of vertex keys, equal for equal sets of faces whatever their order.

    Args:
        grid: any grid mesh.
        winding: False compares faces without their orientation.
    """
    corners = cell_keys(grid.vertices, grid.levels)[grid.faces]
    corners = rotated(corners) if winding else np.sort(corners, axis=1)
    return corners[np.lexsort(corners.T[::-1])]


__all__ = [
    "HALF_SIDE",
    "Frame",
    "canonical",
    "cell_keys",
    "cells_of",
    "dequantise",
    "distinct_cells",
    "face_keys",
    "frame_of",
    "from_cells",
    "is_canonical",
    "quantise",
    "rotated",
    "sorted_rows",
    "to_cells",
    "used_vertices",
]
