"""Adjacent mesh tokenization of MeshAnything V2 (arXiv 2408.02555): strips of triangles."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from prefalign_mesh3d.mesh.mesh import GridMesh
from prefalign_mesh3d.tokenizers.base import Decoded, MeshTokenizer, checked_levels
from prefalign_mesh3d.tokenizers.edges import edges_of
from prefalign_mesh3d.tokenizers.reading import assemble, stream_of


class AMT(MeshTokenizer):
    """Strips: three vertices, then one vertex a face, each closing a triangle with the two before it.

    A mesh of F faces in S strips takes 3F + 7S - 1 tokens. Which way a face turns is lost. Ids: coordinates, the
    separator between strips, begin, end. A vertex is written x, y, z.

    Args:
        levels: cells along one side of the cube.
    """

    name: ClassVar[str] = "amt"
    keeps_winding: ClassVar[bool] = False

    def __init__(self, levels: int = 128) -> None:
        self.levels = checked_levels(self.name, levels)
        self.geometry_size = levels + 1

    @property
    def separator(self) -> int:
        """Id between two strips."""
        return self.levels

    def _encode(self, grid: GridMesh) -> np.ndarray:
        vertices, starts = _strips(grid.faces)
        ids = grid.vertices[vertices].ravel()
        return np.insert(ids, 3 * np.array(starts[1:], np.int64), self.separator)

    def decode(self, tokens: Any) -> Decoded:
        """The mesh of any integer sequence; a strip of fewer than three vertices has no face."""
        stream = stream_of(tokens, self)
        breaks = stream.ids == self.separator
        strip = np.cumsum(breaks)
        at = np.flatnonzero(~breaks)
        # Number of the coordinate within its strip; every third makes a vertex whole.
        place = np.arange(len(at)) - np.searchsorted(strip[at], strip[at])
        third = np.flatnonzero(place % 3 == 2)
        cells = stream.ids[at[third[:, None] + np.arange(-2, 1)]]
        closing = np.flatnonzero(place[third] >= 8)
        triangles = closing[:, None] + np.arange(-2, 1)
        owner = np.full(len(stream.ids), -1)
        owner[at[third[:, None] + np.arange(-2, 1)]] = np.arange(len(third))[:, None]
        # A separator belongs to the strip it opens.
        opened = np.append(owner[1:], -1)
        owner[breaks] = opened[breaks]
        return assemble(cells, triangles, self.levels, owner, stream)


def _strips(faces: np.ndarray) -> tuple[list[int], list[int]]:
    """Vertices of all strips one after another, and where each begins."""
    ordered = np.sort(faces, axis=1)
    edges = edges_of(ordered)
    # At each edge its faces by their third corner, ascending: that is the order of half-edges, because faces ascend.
    corners, edge_of = ordered.tolist(), edges.of_half_edge.tolist()
    around, begins = edges.half_edges.tolist(), edges.begins.tolist()
    visited = bytearray(len(corners))
    vertices: list[int] = []
    starts: list[int] = []
    for face, (first, before, last) in enumerate(corners):
        if visited[face]:
            continue
        visited[face] = 1
        starts.append(len(vertices))
        vertices += (first, before, last)
        edge = edge_of[3 * face]
        while True:
            for half in around[begins[edge] : begins[edge + 1]]:
                found = half // 3
                if not visited[found]:
                    break
            else:
                break
            visited[found] = 1
            # The strip goes on over the edge of its last two vertices, the one opposite the vertex it leaves behind.
            opposite = corners[found][half - 3 * found]
            edge = edge_of[3 * found + corners[found].index(before)]
            before, last = last, opposite
            vertices.append(last)
    return vertices, starts


__all__ = ["AMT"]
