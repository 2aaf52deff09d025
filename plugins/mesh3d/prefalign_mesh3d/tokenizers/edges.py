"""Which faces meet at which edge, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefalign_mesh3d.mesh.sorting import first_of_runs, sorted_with_order


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Half-edge 3f + k is the side of face f opposite to its corner k.

    Attributes:
        of_half_edge: (3F,) int64 edge of each half-edge.
        half_edges: (3F,) int64 half-edges by edge, ascending within each.
        begins: (E + 1,) int64 where each edge's part of `half_edges` begins.
    """

    of_half_edge: np.ndarray
    half_edges: np.ndarray
    begins: np.ndarray


def edges_of(faces: np.ndarray) -> Edges:
    """The edges of (F, 3) int64 faces, whichever way round these turn."""
    first, second = faces[:, [1, 2, 0]].ravel(), faces[:, [2, 0, 1]].ravel()
    count = int(faces.max()) + 1 if len(faces) else 0
    keys, half_edges = sorted_with_order(np.minimum(first, second) * count + np.maximum(first, second), count * count)
    new = first_of_runs(keys)
    of_half_edge = np.empty(len(keys), np.int64)
    of_half_edge[half_edges] = np.cumsum(new) - 1
    return Edges(of_half_edge, half_edges, np.append(np.flatnonzero(new), len(keys)))


__all__ = ["Edges", "edges_of"]
