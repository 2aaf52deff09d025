"""The two forms of a mesh: with real coordinates, and on a grid of integer levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError

#: The most cells along one side: three coordinates of 20 bits fit one integer beside each other.
MAX_LEVELS = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A triangle mesh as arrays.

    Attributes:
        vertices: (V, 3) float64 positions x, y, z, in the unit of whoever made it.
        faces: (F, 3) int64 vertex indices, counter-clockwise seen from outside. No faces is a mesh too.

    Raises:
        MeshError: for other shapes, coordinates that are not finite, or indices outside [0, V).
    """

    vertices: np.ndarray
    faces: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "vertices", _array(self.vertices, np.float64, "vertices"))
        object.__setattr__(self, "faces", _array(self.faces, np.int64, "faces"))
        bad = np.flatnonzero(~np.isfinite(self.vertices).all(-1))
        if len(bad):
            raise MeshError(f"vertex {bad[0]} has a coordinate that is not finite: {self.vertices[bad[0]].tolist()}")
        _check_faces(self.faces, len(self.vertices))


@dataclass(frozen=True, slots=True, eq=False)
class GridMesh:
    """A triangle mesh whose vertices are cells of a cube of `levels` cells along each side.

    Attributes:
        vertices: (V, 3) int64 cells x, y, z in [0, levels).
        faces: (F, 3) int64 vertex indices.
        levels: cells along one side, from 2 to `MAX_LEVELS`.

    Raises:
        MeshError: for other shapes, cells outside the cube, or indices outside [0, V).
    """

    vertices: np.ndarray
    faces: np.ndarray
    levels: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "vertices", _array(self.vertices, np.int64, "vertices"))
        object.__setattr__(self, "faces", _array(self.faces, np.int64, "faces"))
        if not 2 <= self.levels <= MAX_LEVELS:
            raise MeshError(f"expected between 2 and {MAX_LEVELS} levels, got {self.levels}")
        if len(self.vertices) and not (self.vertices.min() >= 0 and self.vertices.max() < self.levels):
            raise MeshError(f"expected cells in [0, {self.levels}), got {self.vertices.min()} to {self.vertices.max()}")
        _check_faces(self.faces, len(self.vertices))


def bounds(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(3,) lowest and (3,) highest coordinates of (n, 3) points, at least one.

    Column by column: over rows of three numbers NumPy's reductions take many times as long.
    """
    columns = points.T
    return np.array([column.min() for column in columns]), np.array([column.max() for column in columns])


def _array(value: np.ndarray, dtype: type, name: str) -> np.ndarray:
    array = np.asarray(value)
    if array.size == 0:
        return np.zeros((0, 3), dtype)
    if array.ndim != 2 or array.shape[1] != 3:
        raise MeshError(f"expected {name} of shape (n, 3), got {array.shape}; quads are triangulated by the reader")
    return np.ascontiguousarray(array, dtype)


def _check_faces(faces: np.ndarray, count: int) -> None:
    if len(faces) and not (faces.min() >= 0 and faces.max() < count):
        raise MeshError(f"expected vertex indices in [0, {count}), got {faces.min()} to {faces.max()}")
