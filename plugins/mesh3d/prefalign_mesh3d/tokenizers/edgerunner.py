"""EdgeRunner's tokenizer (arXiv 2409.18114): a walk over half-edges, a simplified EdgeBreaker."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from prefalign_mesh3d.mesh.mesh import GridMesh
from prefalign_mesh3d.tokenizers.base import Decoded, MeshTokenizer, checked_levels
from prefalign_mesh3d.tokenizers.reading import assemble, stream_of
from prefalign_mesh3d.tokenizers.traversal import LEFT, RIGHT, START, traverse

_SPECIAL = 3


class EdgeRunner(MeshTokenizer):
    """Sub-meshes, each three vertices and then a letter and a vertex a face.

    The letter says over which side of the last face the walk goes on, L or R. A mesh of F faces in S sub-meshes takes
    4F + 6S tokens. A face wound against the neighbour it is reached from is turned round, so the winding of an
    inconsistently wound mesh is lost. Ids: L, R, begin of a sub-mesh, coordinates, begin, end. A vertex is written
    x, y, z.

    Args:
        levels: cells along one side of the cube.
    """

    name: ClassVar[str] = "edgerunner"

    def __init__(self, levels: int = 512) -> None:
        self.levels = checked_levels(self.name, levels)
        self.geometry_size = _SPECIAL + levels

    def _encode(self, grid: GridMesh) -> np.ndarray:
        letters, vertices = traverse(grid)
        # A begin has three vertices behind it, a letter one.
        counts = np.where(letters == START, 9, 3)
        begins = np.cumsum(counts + 1) - counts - 1
        ids = np.empty(int(counts.sum()) + len(letters), np.int64)
        coordinates = np.ones(len(ids), bool)
        coordinates[begins] = False
        ids[begins] = letters
        ids[coordinates] = grid.vertices[vertices].ravel() + _SPECIAL
        return ids

    def decode(self, tokens: Any) -> Decoded:
        """The mesh of any integer sequence.

        A begin without nine coordinates behind it is left out with all up to the next begin; a letter without three
        is left out alone; coordinates beyond those are left out.
        """
        stream = stream_of(tokens, self)
        special = np.flatnonzero(stream.ids < _SPECIAL)
        letters = stream.ids[special]
        needed = np.where(letters == START, 9, 3)
        there = np.diff(np.append(special, len(stream.ids))) - 1
        starts = letters == START
        # The begin that each letter stands behind; 0 is none.
        part = np.cumsum(starts)
        sound = np.concatenate([[False], (there >= needed)[starts]])[part] & (there >= needed)
        special, letters, needed, starts = special[sound], letters[sound], needed[sound], starts[sound]
        count = needed // 3
        newest = np.cumsum(count) - 1
        # Tokens of all vertices, then the coordinates.
        of_vertex = np.repeat(np.arange(len(special)), count)
        place = np.arange(len(of_vertex)) - (newest - count + 1)[of_vertex]
        at = (special[of_vertex] + 1 + 3 * place)[:, None] + np.arange(3)
        cells = stream.ids[at] - _SPECIAL
        triangles = _triangles(letters, newest)
        owner = np.full(len(stream.ids), -1)
        owner[at] = np.arange(len(cells))[:, None]
        owner[special] = newest
        return assemble(cells, triangles, self.levels, owner, stream)


def _triangles(letters: np.ndarray, newest: np.ndarray) -> np.ndarray:
    """(n, 3) faces of a walk without a begin missing.

    The walk holds an active edge (v1, v2) and the tip v0 of the last face. L puts the next tip onto (v0, v2), R onto
    (v1, v0). So v1 is the tip before the last L, and v2 that before the last R, or else what the begin wrote.
    """
    here = np.arange(len(letters))
    begin = np.maximum.accumulate(np.where(letters == START, here, 0))
    last_left = np.maximum.accumulate(np.where(letters == LEFT, here, 0))
    last_right = np.maximum.accumulate(np.where(letters == RIGHT, here, 0))
    # A begin writes v0, v1, v2; its tip is the first of its three vertices, a letter's its only one.
    tip = newest - 2 * (letters == START)
    side1 = np.where(last_left > begin, tip[last_left - 1], tip[begin] + 1)
    side2 = np.where(last_right > begin, tip[last_right - 1], tip[begin] + 2)
    return np.stack([tip, side1, side2], axis=1)


__all__ = ["EdgeRunner"]
