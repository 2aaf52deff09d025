"""Faces of a mesh that cross one another: sort and sweep over boxes, then the triangles themselves."""

from __future__ import annotations

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.normals import crossed, dotted, face_normals, unit_vertices
from prefalign_mesh3d.metrics.functional.edges import distinct_faces
from prefalign_mesh3d.metrics.functional.sweep import overlapping

#: What reaches through a face by less than this share of the shape's longest side only touches it.
CONTACT = 1e-9


def self_intersections(mesh: Mesh) -> np.ndarray:
    """(n, 2) int64 pairs of faces that cross and share no vertex, the smaller index first, ascending.

    Two faces cross if each has corners on both sides of the other's plane and they have more than a point in common
    (Möller 1997, "A fast triangle-triangle intersection test"). What merely touches does not cross: a box that stands
    on another one, flush sides, faces in one plane even where they overlap. Collapsed and repeated faces are passed
    over.

    Raises:
        MeshError: if the faces lie in one heap (see `overlapping`).
    """
    faces = distinct_faces(mesh)
    vertices = unit_vertices(mesh)
    corners = vertices[mesh.faces[faces]]
    normals = face_normals(mesh)[0][faces]
    indices = mesh.faces[faces]
    found = [np.zeros((0, 2), np.int64)]
    for pairs in overlapping(corners.min(1), corners.max(1)):
        a, b = pairs.T
        apart = np.ones(len(pairs), bool)
        for corner in range(3):
            apart &= (indices[a] != indices[b, corner, None]).all(1)
        pairs = pairs[apart]
        found.append(pairs[_crossing(corners, normals, pairs)])
    crossing = np.sort(faces[np.concatenate(found)], axis=1)
    return crossing[np.lexsort((crossing[:, 1], crossing[:, 0]))]


def self_intersecting_ratio(mesh: Mesh, pairs: np.ndarray | None = None) -> float:
    """Share of faces that cross another one, in [0, 1].

    Args:
        mesh: any mesh with faces.
        pairs: its `self_intersections`, where they are known.

    Raises:
        MeshError: for a mesh without faces; and see `self_intersections`.
    """
    if not len(mesh.faces):
        raise MeshError("the mesh has no faces, so none can cross")
    pairs = self_intersections(mesh) if pairs is None else pairs
    return len(np.unique(pairs)) / len(mesh.faces)


def _crossing(corners: np.ndarray, normals: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(m,) bool: which of the m pairs of triangles cross.

    Args:
        corners: (n, 3, 3) triangles.
        normals: (n, 3) their unit normals.
        pairs: (m, 2).
    """
    answer = np.zeros(len(pairs), bool)
    heights: list[np.ndarray] = []
    left = np.arange(len(pairs))
    for own, other in ((0, 1), (1, 0)):
        a, b = pairs[left, own], pairs[left, other]
        height = np.einsum("ijk,ik->ij", corners[a] - corners[b, :1], normals[b])
        height[np.abs(height) <= CONTACT] = 0
        through = (height.max(1) > 0) & (height.min(1) < 0)
        left = left[through]
        heights = [earlier[through] for earlier in heights] + [height[through]]
    if not len(left):
        return answer
    a, b = pairs[left].T
    line = crossed(normals[a], normals[b])
    line /= np.sqrt(dotted(line, line))[:, None]
    origin = corners[a, :1]
    along = [np.einsum("ijk,ik->ij", corners[i] - origin, line) for i in (a, b)]
    spans = [_span(places, height) for places, height in zip(along, heights, strict=True)]
    common = np.minimum(spans[0][1], spans[1][1]) - np.maximum(spans[0][0], spans[1][0])
    answer[left[common > CONTACT]] = True
    return answer


def _span(along: np.ndarray, height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where triangles enter and leave a plane, as positions on the line of both planes.

    Args:
        along: (m, 3) positions of the corners along the line.
        height: (m, 3) their signed distances from the plane; some above and some below 0.
    """
    along_next, height_next = np.roll(along, -1, axis=1), np.roll(height, -1, axis=1)
    cut = height * height_next < 0
    share = height / np.where(cut, height - height_next, 1)
    places = np.concatenate([along + share * (along_next - along), along], axis=1)
    real = np.concatenate([cut, height == 0], axis=1)
    return np.where(real, places, np.inf).min(1), np.where(real, places, -np.inf).max(1)


__all__ = ["CONTACT", "self_intersecting_ratio", "self_intersections"]
