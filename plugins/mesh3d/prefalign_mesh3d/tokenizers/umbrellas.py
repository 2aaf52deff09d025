"""The faces around each vertex in turn, found for all vertices at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefalign_mesh3d.mesh.sorting import first_of_runs, sorted_with_order

#: What is known about the faces around a vertex.
LOOSE, OPEN, CLOSED = 0, 1, 2

#: Vertices of more faces stay loose: every further face costs a pass over what are then few vertices.
MOST_FACES = 48


@dataclass(frozen=True, slots=True, eq=False)
class Umbrellas:
    """Faces around V vertices, one vertex after another.

    A vertex is CLOSED or OPEN where its faces follow one another around it in the sense in which all of them are wound,
    in a circle or from border to border. Its ring then holds the vertices that they pass, one more than faces; a closed
    ring begins and ends with its smallest vertex. All other vertices are LOOSE: their faces ascend, and their ring
    means nothing.

    Attributes:
        begins: (V + 1,) int64 where each vertex's part of `faces` begins; its part of `rings` begins v places later.
        faces: (3F,) int64.
        rings: (3F + V,) int64.
        kinds: (V,) uint8 LOOSE, OPEN or CLOSED.
    """

    begins: np.ndarray
    faces: np.ndarray
    rings: np.ndarray
    kinds: np.ndarray


def umbrellas(faces: np.ndarray, count: int) -> Umbrellas:
    """The umbrellas of (F, 3) int64 faces in canonical order, whose corners are all the vertices in [0, count)."""
    # Corner 3f + k lies at vertex[3f + k]; the face turns from it to the corner ahead, and comes from the one behind.
    vertex = faces.ravel()
    ahead, behind = faces[:, [1, 2, 0]].ravel(), faces[:, [2, 0, 1]].ravel()
    degree = np.bincount(vertex, minlength=count)
    begins = np.zeros(count + 1, np.int64)
    np.cumsum(degree, out=begins[1:])
    corners = sorted_with_order(vertex, count)[1]
    twin, kinds = _twins(vertex, ahead, count)
    kinds[degree > MOST_FACES] = LOOSE
    # The next corner around a vertex lies in the face across the side that leads back to the vertex.
    following = twin.reshape(-1, 3)[:, [2, 0, 1]].ravel()

    # Faces ascend with the other two vertices they have, so the first face at a vertex has the smallest of its ring,
    # ahead or behind. An open umbrella begins where no face comes before.
    first = corners[begins[:-1]]
    start = np.where(ahead[first] < behind[first], first, following[first])
    border = np.flatnonzero(twin < 0)
    start[vertex[border]] = border

    order = corners.copy()
    live = np.flatnonzero(kinds != LOOSE)
    place, corner, left = begins[live], start[live], degree[live]
    order[place] = corner
    while len(live):
        left -= 1
        more = left > 0
        live, place, left = live[more], place[more] + 1, left[more]
        corner = following[corner[more]]
        # Two umbrellas at one vertex: the first came to its end before all faces were passed.
        kinds[live[(corner < 0) | (corner == start[live])]] = LOOSE
        order[place] = corner
    vertex_of_place = np.repeat(np.arange(count), degree)
    order = np.where(kinds[vertex_of_place] == LOOSE, corners, order)

    rings = np.empty(len(order) + count, np.int64)
    rings[np.arange(len(order)) + vertex_of_place] = ahead[order]
    rings[begins[1:] + np.arange(count)] = behind[order[begins[1:] - 1]]
    return Umbrellas(begins, order // 3, rings, kinds)


def _twins(vertex: np.ndarray, ahead: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The side (3F,) along each side in the other direction, -1 for none, and the kinds (V,) that sides alone tell.

    Side c leads from vertex[c] to ahead[c].
    """
    keys, sides = sorted_with_order(np.minimum(vertex, ahead) * count + np.maximum(vertex, ahead), count * count)
    first = first_of_runs(keys)
    begins = np.flatnonzero(first)
    lengths = np.diff(np.append(begins, len(keys)))
    one = begins[lengths == 2]
    one, two = sides[one], sides[one + 1]
    opposed = vertex[one] != vertex[two]
    twin = np.full(len(vertex), -1)
    twin[one[opposed]], twin[two[opposed]] = two[opposed], one[opposed]

    # At every vertex as many runs of faces begin as end, at sides without a twin. An edge of three faces, or of two
    # wound against each other, has two beginnings or two ends there, so both its vertices have more than one run.
    runs = np.bincount(vertex[twin < 0], minlength=count)
    kinds = np.full(count, CLOSED, np.uint8)
    kinds[runs == 1] = OPEN
    kinds[runs > 1] = LOOSE
    return twin, kinds


__all__ = ["CLOSED", "LOOSE", "OPEN", "Umbrellas", "umbrellas"]
