"""A mesh as fans of triangles around centres: the decomposition that BPT and DeepMesh write down.

Restated in words in BPT (arXiv 2411.07025) and DeepMesh (arXiv 2503.15265); written from the description.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Fans:
    """Fans one after another, each a centre and then its ring of neighbours.

    Attributes:
        vertices: (M,) int64 vertex indices. A fan of k faces takes k + 2 of them.
        starts: (N,) int64 where in `vertices` each fan's centre stands.
    """

    vertices: np.ndarray
    starts: np.ndarray


def fans(faces: np.ndarray, count: int) -> Fans:
    """Decompose a mesh into fans; every face lies in one of them.

    Args:
        faces: (F, 3) int64 in canonical order (`prefalign_mesh3d.mesh.grid.canonical`).
        count: number of vertices.
    """
    vertices, starts = _walk(faces, count)
    return Fans(np.array(vertices, np.int64), np.array(starts, np.int64))


def _walk(faces: np.ndarray, count: int) -> tuple[list[int], list[int]]:
    corners = faces.tolist()
    # Faces at each vertex, ascending. Their other two corners ascend with them, because faces are in canonical order.
    order = np.argsort(faces.ravel(), kind="stable") // 3
    degree_of = np.bincount(faces.ravel(), minlength=count)
    ends = np.cumsum(degree_of)
    begins, ends_of = (ends - degree_of).tolist(), ends.tolist()
    incident, degree = order.tolist(), degree_of.tolist()
    visited = bytearray(len(corners))
    vertices: list[int] = []
    starts: list[int] = []
    for face, triangle in enumerate(corners):
        # Several fans may start from one face: a fan at a pinched centre need not reach the face that chose it.
        while not visited[face]:
            # max() returns the first of equals, as the format wants.
            centre = max(triangle, key=degree.__getitem__)
            around = [f for f in incident[begins[centre] : ends_of[centre]] if not visited[f]]
            ring, used = _ring(centre, around, corners)
            if not _turns(corners[used[0]], centre, ring[0], ring[1]):
                ring.reverse()
            for f in used:
                visited[f] = 1
            degree[centre] = len(around) - len(used)
            degree[ring[0]] -= 1
            degree[ring[-1]] -= 1
            for vertex in ring[1:-1]:
                degree[vertex] -= 2
            starts.append(len(vertices))
            vertices.append(centre)
            vertices += ring
    return vertices, starts


def _ring(centre: int, around: list[int], corners: list[list[int]]) -> tuple[list[int], list[int]]:
    """The ring that a walk over the faces around a centre gives, and the faces it used."""
    spokes: dict[int, list[tuple[int, int]]] = {}
    for face in around:
        first, second = (v for v in corners[face] if v != centre)
        spokes.setdefault(first, []).append((face, second))
        spokes.setdefault(second, []).append((face, first))
    open_ends = [vertex for vertex, faces in spokes.items() if len(faces) == 1]
    last = min(open_ends) if open_ends else min(v for v in corners[around[0]] if v != centre)
    ring, used, taken = [last], [], set()
    while True:
        for face, other in spokes[last]:
            if face not in taken:
                taken.add(face)
                used.append(face)
                ring.append(other)
                last = other
                break
        else:
            return ring, used


def _turns(stored: list[int], a: int, b: int, c: int) -> bool:
    """Whether (a, b, c) is a rotation of the stored face."""
    at = stored.index(a)
    return stored[at - 2] == b and stored[at - 1] == c


__all__ = ["Fans", "fans"]
