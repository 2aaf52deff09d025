"""Counts that no bending of a mesh changes: components, fans, Euler number, regularity of vertices."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import GridMesh, Mesh
from prefalign_mesh3d.metrics.functional.edges import Edges, distinct_faces, sorted_sides
from prefalign_mesh3d.metrics.functional.quads import Quads


def components(edges: Edges) -> int:
    """Number of parts that no edge connects, at least 1. Parts that touch in one vertex are one."""
    used, ends = np.unique(edges.vertices, return_inverse=True)
    ends = ends.reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(len(used), len(used)))
    return int(connected_components(graph, directed=False, return_labels=False))


def non_manifold_vertex_ratio(mesh: Mesh | GridMesh) -> float:
    """Share of the vertices that faces use at which these are no single fan, in [0, 1].

    Two faces at a vertex are of one fan if steps over edges of that vertex lead from one to the other. Where two parts
    touch in a vertex, it has two fans.

    Raises:
        MeshError: for a mesh without a face that has three different corners.
    """
    faces = distinct_faces(mesh)
    if not len(faces):
        raise MeshError(f"the mesh has no vertex in use: none of its {len(mesh.faces)} faces has different corners")
    corners = mesh.faces[faces].ravel()
    keys, order, _ = sorted_sides(mesh, faces)
    # Side 3f + i runs from corner i of face f to the next one; so there is one corner of its face at either end.
    following = np.arange(len(corners)).reshape(-1, 3)[:, [1, 2, 0]].ravel()[order]
    rises = corners[order] < corners[following]
    low, high = np.where(rises, order, following), np.where(rises, following, order)
    # Corners in one vertex are linked where their faces share an edge of that vertex.
    met = np.flatnonzero(keys[1:] == keys[:-1])
    one, other = np.concatenate([low[met], high[met]]), np.concatenate([low[met + 1], high[met + 1]])
    graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(len(corners), len(corners)))
    count, fan = connected_components(graph, directed=False)
    vertex_of_fan = np.empty(count, np.int64)
    vertex_of_fan[fan] = corners
    fans = np.bincount(vertex_of_fan)
    return float(np.mean(fans[fans > 0] > 1))


def euler_number(mesh: Mesh | GridMesh, edges: Edges) -> int:
    """V - E + F over the distinct faces and the vertices that they use; 2 - 2 · genus for one closed part."""
    return int(len(np.unique(edges.vertices)) - len(edges.vertices) + len(distinct_faces(mesh)))


def valence_regularity(edges: Edges, merged: Quads | None = None) -> float:
    """Share of inner vertices with the number of edges that a regular mesh has, in [0, 1]; NaN without such vertices.

    Inner vertices are those all of whose edges have two faces.

    Args:
        edges: of the triangles; regular is a valence of 6.
        merged: quads of the same mesh, whose diagonals are dissolved; regular is then a valence of 4.

    Raises:
        MeshError: for quads of another mesh.
    """
    kept = np.ones(len(edges.vertices), bool)
    count = int(edges.vertices.max()) + 1
    if merged is not None and len(merged.pairs):
        keys = edges.vertices[:, 0] * count + edges.vertices[:, 1]
        diagonals = np.sort(merged.corners[:, 1::2], axis=1)
        wanted = diagonals[:, 0] * count + diagonals[:, 1]
        place = np.searchsorted(keys, wanted)
        if place.max() >= len(keys) or (keys[place] != wanted).any():
            raise MeshError("the quads have diagonals that are no edges of this mesh")
        kept[place] = False
    valence = np.bincount(edges.vertices[kept].ravel(), minlength=count)
    inner = np.bincount(edges.vertices.ravel(), minlength=count) > 0
    inner[edges.vertices[edges.faces != 2].ravel()] = False
    return float(np.mean(valence[inner] == (6 if merged is None else 4))) if inner.any() else float("nan")


__all__ = ["components", "euler_number", "non_manifold_vertex_ratio", "valence_regularity"]
