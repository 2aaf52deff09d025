"""What the edges of a mesh tell: holes, edges of too many faces, winding.

All of it reads one table, which `edges_of` makes once:

    edges = edges_of(mesh)
    boundary_edge_ratio(edges), is_watertight(edges)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import sorted_rows
from prefalign_mesh3d.mesh.mesh import GridMesh, Mesh
from prefalign_mesh3d.mesh.sorting import first_of_runs, sorted_with_order


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """The undirected edges of a mesh.

    Attributes:
        vertices: (E, 2) int64 ends, the smaller index first, ascending.
        faces: (E,) int64 number of faces at each edge, at least 1.
        rising: (E,) int64 number of those that run through it from the smaller index to the larger.
    """

    vertices: np.ndarray
    faces: np.ndarray
    rising: np.ndarray


def distinct_faces(mesh: Mesh | GridMesh) -> np.ndarray:
    """(n,) int64 indices of faces with three different corners, of equal sets of corners the first; ascending.

    What repeats a face, or has collapsed, covers nothing, yet would count at its edges and make holes look closed.
    """
    a, b, c = mesh.faces.T
    whole = np.flatnonzero((a != b) & (b != c) & (c != a))
    corners = np.sort(mesh.faces[whole], axis=1)
    order = sorted_rows(corners, len(mesh.vertices))
    corners = corners[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (corners[1:] != corners[:-1]).any(1)
    return np.sort(whole[order[fresh]])


def edges_of(mesh: Mesh | GridMesh) -> Edges:
    """The edges of the distinct faces (see `distinct_faces`), by vertex index: what is to be joined is welded before.

    Raises:
        MeshError: for a mesh without such a face.
    """
    faces = distinct_faces(mesh)
    if not len(faces):
        raise MeshError(f"the mesh has no edges: none of its {len(mesh.faces)} faces has three different corners")
    keys, order, first = sorted_sides(mesh, faces)
    corners = mesh.faces[faces]
    rises = (corners < np.roll(corners, -1, axis=1)).ravel()
    rising = np.add.reduceat(rises[order], first, dtype=np.int64)
    return Edges(_ends(keys[first], mesh), np.diff(np.append(first, len(keys))), rising)


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The n edges that exactly two distinct faces share.

    Attributes:
        vertices: (n, 2) int64 ends, the smaller index first, ascending.
        faces: (n, 2) int64 the two faces, as indices into the mesh's faces.
        opposite: (n, 2) int64 the third vertex of each of them.
    """

    vertices: np.ndarray
    faces: np.ndarray
    opposite: np.ndarray


def neighbours_of(mesh: Mesh | GridMesh) -> Neighbours:
    """The edges that exactly two distinct faces share, with these faces; none for a mesh without faces."""
    faces = distinct_faces(mesh)
    keys, order, first = sorted_sides(mesh, faces)
    twice = first[np.diff(np.append(first, len(keys))) == 2]
    sides = np.stack([order[twice], order[twice + 1]], axis=1)
    opposite = np.roll(mesh.faces[faces], 1, axis=1).ravel()[sides]
    return Neighbours(_ends(keys[twice], mesh), faces[sides // 3], opposite)


def sorted_sides(mesh: Mesh | GridMesh, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keys of the 3n sides of n faces in ascending order, which side each is, and where a new key begins.

    Side 3f + i runs from corner i of face f to the next. Its key is the same whichever way it runs.
    """
    starts, ends = mesh.faces[faces].ravel(), np.roll(mesh.faces[faces], -1, axis=1).ravel()
    keys = np.minimum(starts, ends) * len(mesh.vertices) + np.maximum(starts, ends)
    keys, order = sorted_with_order(keys, len(mesh.vertices) ** 2)
    return keys, order, np.flatnonzero(first_of_runs(keys))


def _ends(keys: np.ndarray, mesh: Mesh | GridMesh) -> np.ndarray:
    count = max(1, len(mesh.vertices))
    return np.stack([keys // count, keys % count], axis=1)


def boundary_edge_ratio(edges: Edges) -> float:
    """Share of edges with exactly one face, in [0, 1]; BER of Mesh-RFT (arXiv 2505.16761). 0 for closed shapes."""
    return float(np.mean(edges.faces == 1))


def non_manifold_edge_ratio(edges: Edges) -> float:
    """Share of edges with more than two faces, in [0, 1]."""
    return float(np.mean(edges.faces > 2))


def is_watertight(edges: Edges) -> bool:
    """Whether every edge has exactly two faces. The shape may still cross itself or be wound inconsistently."""
    return bool((edges.faces == 2).all())


def winding_ratio(edges: Edges) -> float:
    """Share of the edges with two faces through which these run in opposite directions, in [0, 1]; 1 without such."""
    shared = edges.faces == 2
    return float(np.mean(edges.rising[shared] == 1)) if shared.any() else 1.0


__all__ = [
    "Edges",
    "Neighbours",
    "boundary_edge_ratio",
    "distinct_faces",
    "edges_of",
    "is_watertight",
    "neighbours_of",
    "non_manifold_edge_ratio",
    "sorted_sides",
    "winding_ratio",
]
