"""Nine coordinates a face, in one order of vertices and faces: PolyGen, MeshXL, Meshtron, Mesh-RFT."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import cell_keys, rotated, sorted_rows
from prefalign_mesh3d.mesh.mesh import GridMesh
from prefalign_mesh3d.mesh.sorting import sorted_with_order
from prefalign_mesh3d.tokenizers.base import Decoded, MeshTokenizer, checked_levels
from prefalign_mesh3d.tokenizers.reading import assemble, stream_of


class Coord9(MeshTokenizer):
    """Three vertices a face, three coordinates a vertex, all ascending; F faces take 9F tokens.

    Vertices ascend by their coordinates in `order`, and are written in it. A face begins with its lowest vertex, and
    faces ascend by their first, then second, then third vertex, so that the sequence of faces has one order, which
    `prefalign_mesh3d.tokenizers.ordering` can hold a sampler to. Ids: coordinates, begin, end.

    Args:
        levels: cells along one side of the cube.
        order: axes from the most significant on; Meshtron's is "yzx", most others' "zyx".
    """

    name: ClassVar[str] = "coord9"

    def __init__(self, levels: int = 128, order: str = "zyx") -> None:
        if not isinstance(order, str) or sorted(order) != ["x", "y", "z"]:
            raise MeshError(f"coord9: expected an order of the axes x, y and z such as 'zyx', got {order!r}")
        self.levels = checked_levels(self.name, levels)
        self.order = order
        self.geometry_size = levels
        self._axes = ["xyz".index(axis) for axis in order]

    def _encode(self, grid: GridMesh) -> np.ndarray:
        ordered = grid.vertices[:, self._axes]
        by_key = sorted_with_order(cell_keys(ordered[:, ::-1], self.levels), self.levels**3)[1]
        rank = np.empty(len(by_key), np.int64)
        rank[by_key] = np.arange(len(by_key))
        faces = rotated(rank[grid.faces])
        faces = faces[sorted_rows(faces, len(by_key))]
        return ordered[by_key][faces].ravel()

    def decode(self, tokens: Any) -> Decoded:
        """The mesh of any integer sequence, nine tokens a face; one with a token that is no coordinate is left out."""
        stream = stream_of(tokens, self)
        face = (stream.places - stream.first) // 9
        whole = np.bincount(face, minlength=1) == 9
        good = whole[face]
        values = np.zeros((int(whole.sum()) * 3, 3), np.int64)
        values[:, self._axes] = stream.ids[good].reshape(-1, 3)
        owner = np.full(len(stream.ids), -1)
        owner[good] = np.arange(int(good.sum())) // 3
        return assemble(values, np.arange(len(values)).reshape(-1, 3), self.levels, owner, stream)


__all__ = ["Coord9"]
