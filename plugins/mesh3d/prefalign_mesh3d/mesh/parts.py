"""Files that hold a mesh in parts, each placed by a matrix, some of them several times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A mesh and where it stands.

    Attributes:
        vertices: (V, 3) positions.
        faces: (F, 3) vertex indices.
        matrix: (4, 4) what takes a column (x, y, z, 1) to its place.
    """

    vertices: np.ndarray
    faces: np.ndarray
    matrix: np.ndarray


def joined(parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) float64 vertices and (F, 3) int64 faces of all parts, each in its place and with its outside outside."""
    vertices, faces, start = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
    for part in parts:
        points, corners = np.asarray(part.vertices, np.float64), np.asarray(part.faces, np.int64)
        if not np.array_equal(part.matrix, np.eye(4)):
            points = points @ part.matrix[:3, :3].T + part.matrix[:3, 3]
            if np.linalg.det(part.matrix[:3, :3]) < 0:
                # A mirrored part would turn its inside out.
                corners = corners[:, ::-1]
        if len(corners) and not (corners.min() >= 0 and corners.max() < len(points)):
            # Past its own end an index would reach into the next part.
            raise IndexError(f"expected vertex indices in [0, {len(points)}), got {corners.min()} to {corners.max()}")
        vertices.append(points)
        faces.append(corners + start)
        start += len(points)
    return np.concatenate(vertices), np.concatenate(faces)


__all__ = ["Part", "joined"]
