"""A mesh as fans of triangles around centres: the decomposition that BPT and DeepMesh write down.

BPT (arXiv 2411.07025) introduced it and DeepMesh (arXiv 2503.15265) uses it. The rule, from one fan to the next:

1. The first face that lies in no fan yet, and of its corners the first with the most such faces, is the centre.
2. Of the centre's faces in no fan yet, one run of neighbours makes the fan: the run with the smallest vertex at an end;
   a full circle begins at its smallest vertex.
3. The ring turns as the face at its beginning is wound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefalign_mesh3d.tokenizers.compiled import compiled_walk
from prefalign_mesh3d.tokenizers.umbrellas import CLOSED, LOOSE, umbrellas

#: Faces that a process decomposes before it looks for numba: about what importing numba costs otherwise.
WORTH_COMPILING = 1_000_000
_walked = 0

#: Ring vertices around a centre, ascending, each with its faces there and the third corner of these, descending.
Spokes = dict[int, list[tuple[int, int]]]


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
    """Decompose a mesh into fans; every face lies in exactly one of them.

    Args:
        faces: (F, 3) int64 in canonical order (`prefalign_mesh3d.mesh.grid.canonical`), at least one.
        count: number of vertices, each of which some face has.
    """
    global _walked
    _walked += len(faces)
    compiled = compiled_walk() if _walked > WORTH_COMPILING else None
    return Fans(*(compiled or walk)(faces, count))


def walk(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and starts of the fans of a mesh, in plain Python over what NumPy prepared."""
    starts, vertices = _walk(faces, count)
    return np.array(vertices, np.int64), np.array(starts, np.int64)


def _walk(faces: np.ndarray, count: int) -> tuple[list[int], list[int]]:
    parts = umbrellas(faces, count)
    # Lists of integers and bytes: no index below goes through NumPy, and nothing here is for the garbage collector.
    begins, around, rings = parts.begins.tolist(), parts.faces.tolist(), parts.rings.tolist()
    kinds = parts.kinds.tobytes()
    corners = faces.ravel().tolist()
    # Number of faces in no fan yet, at each vertex.
    degree = np.diff(parts.begins).tolist()
    visited = bytearray(len(faces))
    spokes: dict[int, Spokes] = {}
    vertices: list[int] = []
    starts: list[int] = []
    face = 0
    while face >= 0:
        a, b, c = corners[3 * face : 3 * face + 3]
        # The first of equals wins.
        centre = a if degree[a] >= degree[b] and degree[a] >= degree[c] else b if degree[b] >= degree[c] else c
        begin, end, kind = begins[centre], begins[centre + 1], kinds[centre]
        if kind == LOOSE:
            if centre not in spokes:
                spokes[centre] = _spokes(centre, around[begin:end], corners)
            ring, used = _loose_ring(centre, spokes[centre], corners, visited)
        else:
            used = around[begin:end]
            ring = rings[begin + centre : end + centre + 1]
            if degree[centre] < end - begin:
                ring, used = _run(ring, used, bytes([visited[f] for f in used]), degree[centre], kind == CLOSED)
        for f in used:
            visited[f] = 1
        degree[centre] -= len(used)
        for vertex in ring:
            degree[vertex] -= 2
        # The ends have one face of the fan each; a closed ring has its one end twice.
        degree[ring[0]] += 1
        degree[ring[-1]] += 1
        starts.append(len(vertices))
        vertices.append(centre)
        vertices += ring
        face = visited.find(0, face)
    return starts, vertices


def _run(ring: list[int], faces: list[int], visited: bytes, count: int, closed: bool) -> tuple[list[int], list[int]]:
    """One run of unvisited faces of an umbrella, as its ring and its faces.

    Args:
        ring: all vertices of the umbrella.
        faces: all its faces.
        visited: one byte a face.
        count: number of unvisited faces, fewer than all.
        closed: whether the umbrella is.
    """
    begin = visited.find(0)
    end = visited.find(1, begin)
    if end < 0:
        end = len(faces)
    if end - begin == count:
        return ring[begin : end + 1], faces[begin:end]
    # Runs as (begin, end); one that goes over the umbrella's seam has its end before its begin.
    tail = visited.rfind(1) + 1
    runs = []
    if closed and begin == 0 and tail < len(faces):
        runs.append((tail, end))
        begin, last = visited.find(0, end), tail
    else:
        last = len(faces)
    while 0 <= begin < last:
        end = visited.find(1, begin)
        if end < 0:
            end = len(faces)
        runs.append((begin, end))
        begin = visited.find(0, end)
    begin, end = min(runs, key=lambda run: min(ring[run[0]], ring[run[1]]))
    if begin < end:
        return ring[begin : end + 1], faces[begin:end]
    # The last vertex of a closed ring is the first again.
    return ring[begin:-1] + ring[: end + 1], faces[begin:] + faces[:end]


def _spokes(centre: int, faces: list[int], corners: list[int]) -> Spokes:
    """The spokes of a centre, whatever its faces are to one another."""
    spokes: Spokes = {}
    for face in reversed(faces):
        first, second = (v for v in corners[3 * face : 3 * face + 3] if v != centre)
        spokes.setdefault(first, []).append((face, second))
        spokes.setdefault(second, []).append((face, first))
    return dict(sorted(spokes.items()))


def _loose_ring(centre: int, spokes: Spokes, corners: list[int], visited: bytearray) -> tuple[list[int], list[int]]:
    """The ring that a walk over unvisited faces around a centre gives, and those faces, which become visited.

    From the last vertex it always goes on over the first face not visited yet. What is visited leaves the spokes on the
    way, so that a centre of many fans is not looked through anew for each.
    """
    last, smallest, gone = -1, -1, []
    for vertex, spoke in spokes.items():
        spoke[:] = [pair for pair in spoke if not visited[pair[0]]]
        if len(spoke) == 1:
            last = vertex
            break
        if not spoke:
            gone.append(vertex)
        elif smallest < 0:
            smallest = vertex
    for vertex in gone:
        del spokes[vertex]
    if last < 0:
        last = smallest
    ring, used = [last], []
    while last in spokes:
        spoke = spokes[last]
        while spoke and visited[spoke[-1][0]]:
            spoke.pop()
        if not spoke:
            break
        face, last = spoke.pop()
        visited[face] = 1
        used.append(face)
        ring.append(last)
    stored = corners[3 * used[0] : 3 * used[0] + 3]
    if stored[stored.index(centre) - 2] != ring[0]:
        ring.reverse()
    return ring, used


__all__ = ["Fans", "fans"]
