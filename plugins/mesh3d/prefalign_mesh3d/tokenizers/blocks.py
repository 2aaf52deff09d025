"""Fans written with a hierarchical index: what BPT (two levels) and DeepMesh (three) have in common."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import GridMesh
from prefalign_mesh3d.tokenizers.base import Decoded, MeshTokenizer, checked_levels
from prefalign_mesh3d.tokenizers.fans import Fans, fans
from prefalign_mesh3d.tokenizers.reading import assemble, stream_of


class BlockTokenizer(MeshTokenizer):
    """Fans of triangles; a vertex is written as a cell, a cell in that cell, … , and only what changed is written.

    Ids of geometry: the cells of each level of the hierarchy, one level after another, coarse to fine, then once more
    the coarse cells, for centres: the coarse id of a centre is what begins a fan. The very first fan uses the plain id.

    Args:
        splits: cells along one side of the cell above, coarse to fine.
        compat: the stream of the published code, which writes a ring's first vertex in full. Otherwise that vertex
            leaves out what it shares with its centre, as any other vertex does, and a ring that is a full circle begins
            at the vertex that shares most. Both streams are read by one decoder, the published one included.
    """

    def __init__(self, splits: tuple[int, ...], compat: bool = False) -> None:
        for split in splits:
            if not isinstance(split, int) or isinstance(split, bool) or split < 1:
                raise MeshError(f"{self.name}: expected numbers of cells of at least 1 along each side, got {splits}")
        if not isinstance(compat, bool):
            raise MeshError(f"{self.name}: expected true or false for compat, got {compat!r}")
        self.levels = checked_levels(self.name, math.prod(splits))
        self.compat = compat
        sizes = [split**3 for split in splits]
        self.geometry_size = sum(sizes) + sizes[0]
        self._splits = splits
        # First id of each level, then first id of the coarse cells of centres.
        self._firsts = [0, *np.cumsum(sizes).tolist()]

    def _index(self, cells: np.ndarray) -> np.ndarray:
        """(n, L) ids of cells (n, 3), one column a level, coarse to fine."""
        columns = []
        side = self.levels
        for split, first in zip(self._splits, self._firsts, strict=False):
            side //= split
            x, y, z = (cells // side % split).T
            columns.append(first + (x * split + y) * split + z)
        return np.stack(columns, axis=1)

    def _encode(self, grid: GridMesh) -> np.ndarray:
        parts = fans(grid.faces, len(grid.vertices))
        index = self._index(grid.vertices)
        depth = index.shape[1]
        if not self.compat:
            parts = _begun_near(parts, index[:, :-1])
        ids = index[parts.vertices]
        centre = np.zeros(len(ids), bool)
        centre[parts.starts] = True
        # Number of leading levels that a vertex shares with the vertex before it; the last level is always written.
        shared = np.zeros(len(ids), np.int64)
        same = np.ones(len(ids) - 1, bool)
        for level in range(depth - 1):
            same &= ids[1:, level] == ids[:-1, level]
            shared[1:] += same
        shared[centre] = 0
        if self.compat:
            # The published code keeps the shifted id of a centre as its cell, which no ring vertex equals. The first
            # fan's centre is not shifted.
            shared[parts.starts[1:] + 1] = 0
        ids[parts.starts[1:], 0] += self._firsts[-1]
        return ids[np.arange(depth) >= shared[:, None]]

    def part_starts(self, tokens: np.ndarray) -> np.ndarray:
        """(T,) bool, tokens with which a fan begins."""
        tokens = np.asarray(tokens)
        begins = (tokens >= self._firsts[-1]) & (tokens < self.geometry_size)
        begins[:1] = True
        return begins

    def decode(self, tokens: np.ndarray) -> Decoded:
        """The mesh of any integer sequence.

        A coarse cell makes the finer cells before it void, so a vertex needs one token of each level since then.
        """
        stream = stream_of(tokens, self)
        ids, depth = stream.ids, len(self._splits)
        level = np.searchsorted(self._firsts, ids, side="right") - 1
        begins = level == depth
        level[begins] = 0
        here = np.arange(len(ids))
        # Where each level was last set. A vertex is whole where these places lie in order, coarse before fine.
        last = [np.maximum.accumulate(np.where(level == k, here, -1)) for k in range(depth)]
        whole = (level == depth - 1) & (last[0] >= 0)
        for coarse, fine in pairwise(last):
            whole &= coarse < fine
        at = np.flatnonzero(whole)
        cells = self._cells([ids[places[at]] for places in last])
        # Place of each vertex in its fan: 0 is the centre, and from 2 on each closes a triangle.
        fan = np.cumsum(begins)[at]
        place = np.arange(len(at))
        centre = np.searchsorted(fan, fan)
        closing = place[place - centre >= 2]
        triangles = np.stack([centre[closing], closing - 1, closing], axis=1)
        # A token belongs to the first vertex behind it, if that vertex still uses it.
        owner = np.full(len(ids), -1)
        if len(at):
            following = np.minimum(np.searchsorted(at, here), len(at) - 1)
            for k in range(depth):
                used = (level == k) & (last[k][at[following]] == here)
                owner[used] = following[used]
        return assemble(cells, triangles, self.levels, owner, stream)

    def _cells(self, columns: list[np.ndarray]) -> np.ndarray:
        """(n, 3) cells from ids of each level, coarse ones of centres included."""
        cells = np.zeros((len(columns[0]), 3), np.int64)
        side = self.levels
        for ids, split, first in zip(columns, self._splits, self._firsts, strict=False):
            side //= split
            cell = np.where(ids >= self._firsts[-1], ids - self._firsts[-1], ids - first)
            cells += side * np.stack([cell // (split * split), cell // split % split, cell % split], axis=1)
        return cells


def _begun_near(parts: Fans, index: np.ndarray) -> Fans:
    """The fans, full circles begun at the vertex that shares most levels with the centre, the smallest of equals.

    Args:
        parts: fans of vertices in [0, V).
        index: (V, L) ids of the levels that a vertex can leave out.
    """
    first = parts.starts + 1
    last = np.append(parts.starts[1:], len(parts.vertices)) - 1
    circle = parts.vertices[first] == parts.vertices[last]
    first, sizes = first[circle], (last - first)[circle]
    # Each vertex of these rings once: its circle, its place there and its distance to the centre, by levels.
    begins = np.cumsum(sizes) - sizes
    circle_of = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(circle_of)) - begins[circle_of]
    vertices = parts.vertices[first[circle_of] + place]
    centres = parts.vertices[first[circle_of] - 1]
    distance = np.full(len(vertices), index.shape[1])
    same = np.ones(len(vertices), bool)
    for level in index.T:
        same &= level[vertices] == level[centres]
        distance -= same
    distance = distance * len(index) + vertices
    nearest = np.flatnonzero(distance == np.minimum.reduceat(distance, begins)[circle_of]) if len(begins) else begins
    # A ring that passes a vertex twice has the nearest twice; the first counts.
    shift = place[nearest[np.searchsorted(circle_of[nearest], np.arange(len(sizes)))]]
    rings = parts.vertices.copy()
    turned = vertices[begins[circle_of] + (place + shift[circle_of]) % sizes[circle_of]]
    rings[first[circle_of] + place] = turned
    rings[first + sizes] = turned[begins]
    return Fans(rings, parts.starts)


__all__ = ["BlockTokenizer"]
