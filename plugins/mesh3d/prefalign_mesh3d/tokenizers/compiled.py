"""The walk over fans for numba: the same rule as in `fans`, over arrays alone, without umbrellas."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

#: Faces (F, 3) int64 in canonical order and the number of vertices to a ring's vertices and starts, as `Fans` has them.
Walk = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


@cache
def compiled_walk() -> Walk | None:
    """`walk` compiled, or None without numba. The first call takes seconds, later processes read numba's cache."""
    try:
        import numba
    except ImportError:
        return None
    try:
        compiled: Walk = numba.njit(cache=True, nogil=True)(walk)
    except RuntimeError:
        # Neither this folder nor the user's own can be written: compile in every process.
        compiled = numba.njit(nogil=True)(walk)
    return compiled


def walk(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and starts of the fans of a mesh."""
    total = len(faces)
    degree = np.zeros(count, np.int64)
    for face in range(total):
        for k in range(3):
            degree[faces[face, k]] += 1
    # Faces around each vertex, ascending.
    begins = np.zeros(count + 1, np.int64)
    most = 0
    for vertex in range(count):
        begins[vertex + 1] = begins[vertex] + degree[vertex]
        most = max(most, degree[vertex])
    filled = begins[:-1].copy()
    around = np.empty(3 * total, np.int64)
    for face in range(total):
        for k in range(3):
            vertex = faces[face, k]
            around[filled[vertex]] = face
            filled[vertex] += 1

    visited = np.zeros(total, np.uint8)
    # The faces of one fan's centre: spoke 2i is the first of the two other corners of its i-th face, 2i + 1 the second.
    spokes = np.empty(2 * most, np.int64)
    face_of = np.empty(most, np.int64)
    used = np.zeros(most, np.uint8)
    # Spokes at each vertex as linked lists, in ascending order of faces; and how many there are.
    head = np.full(count, -1, np.int64)
    following = np.empty(2 * most, np.int64)
    spokes_at = np.zeros(count, np.int64)
    vertices = np.empty(3 * total, np.int64)
    starts = np.empty(total, np.int64)
    size = 0
    fans = 0
    face = 0
    while face < total:
        if visited[face]:
            face += 1
            continue
        centre = faces[face, 0]
        for k in range(1, 3):
            if degree[faces[face, k]] > degree[centre]:
                centre = faces[face, k]
        free = 0
        for place in range(begins[centre], begins[centre + 1]):
            if not visited[around[place]]:
                face_of[free] = around[place]
                used[free] = 0
                free += 1
        for i in range(free - 1, -1, -1):
            spoke = 2 * i
            for k in range(3):
                vertex = faces[face_of[i], k]
                if vertex != centre:
                    spokes[spoke] = vertex
                    following[spoke] = head[vertex]
                    head[vertex] = spoke
                    spokes_at[vertex] += 1
                    spoke += 1
        last = count
        smallest = count
        for spoke in range(2 * free):
            smallest = min(smallest, spokes[spoke])
            if spokes_at[spokes[spoke]] == 1:
                last = min(last, spokes[spoke])
        if last == count:
            last = smallest

        starts[fans] = size
        fans += 1
        vertices[size] = centre
        vertices[size + 1] = last
        first = size + 1
        size += 2
        first_face = -1
        while True:
            spoke = head[last]
            while spoke >= 0 and used[spoke // 2]:
                spoke = following[spoke]
            head[last] = spoke
            if spoke < 0:
                break
            i = spoke // 2
            if first_face < 0:
                first_face = face_of[i]
            used[i] = 1
            visited[face_of[i]] = 1
            degree[centre] -= 1
            degree[last] -= 1
            last = spokes[spoke ^ 1]
            degree[last] -= 1
            vertices[size] = last
            size += 1
        for k in range(3):
            if faces[first_face, k] == centre and faces[first_face, (k + 1) % 3] != vertices[first]:
                vertices[first:size] = vertices[first:size][::-1].copy()
        for spoke in range(2 * free):
            head[spokes[spoke]] = -1
            spokes_at[spokes[spoke]] = 0
    return vertices[:size].copy(), starts[:fans].copy()


__all__ = ["Walk", "compiled_walk", "walk"]
