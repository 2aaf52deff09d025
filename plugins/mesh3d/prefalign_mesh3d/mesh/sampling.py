"""Points on the surface of a mesh, drawn in proportion to area."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.normals import face_normals


@dataclass(frozen=True, slots=True, eq=False)
class SurfacePoints:
    """Points drawn from a surface.

    Attributes:
        points: (n, 3) float64 positions, in the mesh's unit.
        normals: (n, 3) float64 unit normals of the faces that they lie on, on the side from which the face's corners
            turn counter-clockwise.
        faces: (n,) int64 those faces.
    """

    points: np.ndarray
    normals: np.ndarray
    faces: np.ndarray


def surface_points(mesh: Mesh, count: int, seed: int) -> SurfacePoints:
    """Points drawn independently and uniformly from the surface; equal arguments give equal points.

    Args:
        mesh: whose faces have area somewhere; faces without area are never drawn from.
        count: n, at least 1.
        seed: at least 0.

    Raises:
        MeshError: for a mesh without area, or a count or seed too small.
    """
    if count < 1:
        raise MeshError(f"expected at least 1 point, got {count}")
    if seed < 0:
        raise MeshError(f"expected a seed of at least 0, got {seed}")
    normals, areas = face_normals(mesh)
    heaped = np.cumsum(areas)
    if not len(areas) or not heaped[-1] > 0:
        faces = f"none of its {len(areas)} faces has any area" if len(areas) else "it has no faces"
        raise MeshError(f"no points can be drawn from the mesh: {faces}")
    drawn = np.random.default_rng(seed).random((3, count))
    # A product just below the sum may round up to it; then the last face with area is meant.
    last = int(np.flatnonzero(areas)[-1])
    faces = np.minimum(np.searchsorted(heaped, drawn[0] * heaped[-1], side="right"), last)
    # Uniform over a triangle: the half of the unit square above its diagonal is folded onto the half below.
    u, v = drawn[1:]
    above = u + v > 1
    u, v = np.where(above, 1 - u, u)[:, None], np.where(above, 1 - v, v)[:, None]
    a, b, c = (mesh.vertices[mesh.faces[faces, corner]] for corner in range(3))
    return SurfacePoints((1 - u - v) * a + u * b + v * c, normals[faces], faces)


__all__ = ["SurfacePoints", "surface_points"]
