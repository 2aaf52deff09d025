"""EdgeRunner's walk (arXiv 2409.18114): over half-edges, each face entered once, without recursion."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from prefalign_mesh3d.mesh.mesh import GridMesh
from prefalign_mesh3d.tokenizers.edges import edges_of

#: Letters of the walk, as the tokenizer writes them.
LEFT, RIGHT, START = 0, 1, 2


def traverse(grid: GridMesh) -> tuple[np.ndarray, np.ndarray]:
    """Letters (n,) int64, one a face, and the vertices (m,) int64 they bring: three for START, else one.

    In each face entered over the half-edge from s to e with v opposite, its next side e-v leads on by L, its previous
    side v-s by R.
    """
    twins = _twins(grid.faces)
    order, entrances = _order(grid, twins)
    corner, twin = grid.faces.ravel().tolist(), twins.tolist()
    border = np.flatnonzero(twins < 0)
    ends = np.zeros(len(grid.vertices), np.uint8)
    for side in (1, 2):
        ends[grid.faces[border // 3, (border % 3 + side) % 3]] = 1
    seen, visited = bytearray(ends.tobytes()), bytearray(len(grid.faces))
    letters: list[int] = []
    vertices: list[int] = []
    # Half-edges to begin at, with where they go from and to; the sides that splits left behind come first.
    waiting: list[tuple[int, int, int]] = []
    for entrance in entrances[order].tolist():
        face = entrance // 3
        start = entrance - 3 * face
        waiting.append((entrance, corner[3 * face + (start + 1) % 3], corner[3 * face + (start + 2) % 3]))
        while waiting:
            half, s, e = waiting.pop()
            if visited[half // 3]:
                continue
            letters.append(START)
            vertices += (corner[half], s, e)
            seen[s] = seen[e] = 1
            while True:
                base = half - half % 3
                visited[base // 3] = 1
                v = corner[half]
                # The next side lies opposite s and the previous one opposite e, whichever way the face is stored.
                ahead = base if corner[base] == s else base + 1 if corner[base + 1] == s else base + 2
                left, right = twin[ahead], twin[3 * base + 3 - half - ahead]
                if not seen[v]:
                    # A vertex nobody has seen lies on no border, and no face around it was visited.
                    seen[v] = 1
                    go_left = True
                else:
                    open_left = left >= 0 and not visited[left // 3]
                    open_right = right >= 0 and not visited[right // 3]
                    if not (open_left or open_right):
                        break
                    go_left = open_left
                    if open_left and open_right:
                        go_left = _left_is_shorter((left, e), (right, s), corner, twin, visited)
                        waiting.append((right, s, v) if go_left else (left, v, e))
                if go_left:
                    letters.append(LEFT)
                    half, s = left, v
                else:
                    letters.append(RIGHT)
                    half, e = right, v
                vertices.append(corner[half])
    return np.array(letters, np.int64), np.array(vertices, np.int64)


def _twins(faces: np.ndarray) -> np.ndarray:
    """(3F,) int64 half-edge on the other side, -1 at a border. From the third face of an edge on there is a border."""
    edges = edges_of(faces)
    twins = np.full(faces.size, -1)
    shared = edges.begins[:-1][np.diff(edges.begins) >= 2]
    first, second = edges.half_edges[shared], edges.half_edges[shared + 1]
    twins[first], twins[second] = second, first
    return twins


def _order(grid: GridMesh, twins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(F,) faces by component and centroid (y, z, x), and (F,) the half-edge over which a walk enters each face."""
    count = len(grid.faces)
    paired = np.flatnonzero(twins >= 0)
    links = coo_array((np.ones(len(paired), np.int8), (paired // 3, twins[paired] // 3)), (count, count))
    component = connected_components(links, directed=False)[1]
    points = grid.vertices[grid.faces]
    x, y, z = points.sum(1).T
    order = np.lexsort((x, z, y, component))
    # Squared distance of the corners opposite a side, across it; a border comes before all.
    corners = points.reshape(-1, 3)
    across = ((corners - corners[twins]) ** 2).sum(1)
    across[twins < 0] = -1
    return order, 3 * np.arange(count) + across.reshape(-1, 3).argmin(1)


def _left_is_shorter(
    left: tuple[int, int], right: tuple[int, int], corner: list[int], twin: list[int], visited: bytearray
) -> bool:
    """Whether the unvisited part on the left has no longer border than that on the right.

    Both borders are walked in step, so that the cost is that of the shorter one.
    """
    walks = _border(*left, corner, twin, visited), _border(*right, corner, twin, visited)
    while True:
        if next(walks[0], None) is None:
            return True
        if next(walks[1], None) is None:
            return False


def _border(start: int, pivot: int, corner: list[int], twin: list[int], visited: bytearray) -> Iterator[int]:
    """Half-edges of unvisited faces along the border that `start` lies on, round the vertex `pivot` first."""
    half, began = start, pivot
    while True:
        base = half - half % 3
        at = base if corner[base] == pivot else base + 1 if corner[base + 1] == pivot else base + 2
        # The other side at the pivot: neither this one nor the one opposite the pivot.
        other = 3 * base + 3 - half - at
        across = twin[other]
        if across >= 0 and not visited[across // 3]:
            half = across
            continue
        half, pivot = other, corner[half]
        yield half
        if half == start and pivot == began:
            return


__all__ = ["LEFT", "RIGHT", "START", "traverse"]
