"""Pairs of triangles that make a good quad, found greedily: what topology scores and masks over faces are read from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.normals import crossed, dotted, unit_vertices
from prefalign_mesh3d.metrics.functional.edges import neighbours_of
from prefalign_mesh3d.metrics.functional.triangles import corner_angles

#: Two triangles that bend by more than this are no quad.
DIHEDRAL_LIMIT = 45.0
#: Shares of angles and aspect in a quad's quality, as in the topology score.
ANGLE_WEIGHT, ASPECT_WEIGHT = 0.2, 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Quads:
    """The Q quads of a mesh; no triangle is in two of them.

    Attributes:
        pairs: (Q, 2) int64 the two faces of each quad.
        corners: (Q, 4) int64 its vertices in cyclic order; the first and the third are those that only one face has.
        angle: (Q,) 1 - max |corner - 90°| / 90°, in (0, 1]; 1 for right angles.
        aspect: (Q,) shortest by longest side, in (0, 1].
        planarity: (Q,) cosine of the bend along the diagonal, in [cos 45°, 1].
        face_count: F, all faces of the mesh.
    """

    pairs: np.ndarray
    corners: np.ndarray
    angle: np.ndarray
    aspect: np.ndarray
    planarity: np.ndarray
    face_count: int

    @property
    def quality(self) -> np.ndarray:
        """(Q,) weighted mean of angle and aspect, in (0, 1], with the topology score's weights of the two."""
        return (ANGLE_WEIGHT * self.angle + ASPECT_WEIGHT * self.aspect) / (ANGLE_WEIGHT + ASPECT_WEIGHT)

    @property
    def face_quality(self) -> np.ndarray:
        """(F,) quality of the quad that each face of the mesh is half of, 0 for faces that are in none."""
        found = np.zeros(self.face_count)
        found[self.pairs.ravel()] = np.repeat(self.quality, 2)
        return found


def quads(mesh: Mesh) -> Quads:
    """Triangles merged into quads, the best pair first.

    Mesh-RFT (arXiv 2505.16761) does not say how it merges. Here every edge with exactly two faces that bend by at most
    45° and make a convex quad stands to be dissolved, in descending order of angle · aspect · planarity; equal ones go
    by their midpoint (z, y, x), so that the order of faces and vertices decides nothing. Winding is not looked at.

    Args:
        mesh: any mesh, in any unit.
    """
    points = unit_vertices(mesh)
    corners, faces, angle, aspect, planarity = _candidates(mesh, points)
    middle = points[corners[:, 1]] + points[corners[:, 3]]
    # Rounded, so that what symmetry makes equal is not ordered by the last bit.
    rank = -np.round(angle * aspect * planarity, 9)
    order = np.lexsort((middle[:, 0], middle[:, 1], middle[:, 2], rank))
    kept = order[_greedy(faces[order], len(mesh.faces))]
    return Quads(faces[kept], corners[kept], angle[kept], aspect[kept], planarity[kept], len(mesh.faces))


def _candidates(mesh: Mesh, vertices: np.ndarray) -> tuple[np.ndarray, ...]:
    """Corners (n, 4), faces (n, 2), angle, aspect and planarity (n,) of all pairs that may become quads."""
    found = neighbours_of(mesh)
    corners = np.stack([found.opposite[:, 0], found.vertices[:, 0], found.opposite[:, 1], found.vertices[:, 1]], 1)
    points = vertices[corners.T]
    a, u, b, v = points
    normals = crossed(u - a, v - a), crossed(v - b, u - b)
    lengths = [np.sqrt(dotted(normal, normal)) for normal in normals]
    planarity = dotted(*normals) / _positive(lengths[0] * lengths[1])
    steps = [points[corner - 1] - points[corner] for corner in range(4)]
    sides = np.sqrt([dotted(step, step) for step in steps])
    aspect = sides.min(0) / _positive(sides.max(0))
    # A corner on the diagonal has the angles of both triangles, so that a notch is seen to exceed 180°.
    left, right = corner_angles(a, u, v), corner_angles(b, u, v)
    theta = np.stack([left[:, 0], right[:, 0], left[:, 1] + right[:, 1], left[:, 2] + right[:, 2]])
    angle = 1 - np.abs(theta - 90).max(0) / 90
    fit = (angle > 1e-9) & (aspect > 0) & (planarity >= math.cos(math.radians(DIHEDRAL_LIMIT)) - 1e-12)
    return corners[fit], found.faces[fit], angle[fit], aspect[fit], np.minimum(planarity[fit], 1)


def _greedy(pairs: np.ndarray, face_count: int) -> np.ndarray:
    """Indices of the pairs that are taken, if each is unless one of its faces has been.

    A plain loop: each step depends on the last, and one pass over lists is faster than rounds of array operations.
    """
    free = bytearray(b"\1") * face_count
    kept = []
    for index, first, second in zip(range(len(pairs)), pairs[:, 0].tolist(), pairs[:, 1].tolist(), strict=True):
        if free[first] and free[second]:
            free[first] = free[second] = 0
            kept.append(index)
    return np.array(kept, np.int64)


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, 1)


__all__ = ["DIHEDRAL_LIMIT", "Quads", "quads"]
