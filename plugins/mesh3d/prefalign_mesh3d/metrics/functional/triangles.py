"""The shape of single triangles: angles, slivers, and faces that have collapsed."""

from __future__ import annotations

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.normals import unit_vertices

#: Triangles with an angle below this many degrees are called slivers.
SLIVER_DEGREES = 5.0
#: A face is degenerate if its height over its longest side is at most this share of the shape's longest side.
FLAT_HEIGHT = 1e-8


def corner_angles(points: np.ndarray) -> np.ndarray:
    """(n, 3) angles in degrees at the corners of n triangles; 0 at all three where two corners coincide.

    Args:
        points: (n, 3 corners, 3 coordinates), small enough to be squared.
    """
    ahead = np.roll(points, -1, axis=1) - points
    behind = np.roll(points, 1, axis=1) - points
    # By the arc tangent: the arc cosine loses half of the digits at small angles.
    across = np.sqrt((np.cross(ahead, behind) ** 2).sum(2))
    angles = np.degrees(np.arctan2(across, (ahead * behind).sum(2)))
    collapsed = (ahead == 0).all(2).any(1)
    angles[collapsed] = 0
    return angles


def smallest_angles(mesh: Mesh) -> np.ndarray:
    """(F,) smallest angle of each face in degrees, in [0, 60]."""
    return corner_angles(unit_vertices(mesh)[mesh.faces]).min(1)


def degenerate_faces(mesh: Mesh) -> np.ndarray:
    """(F,) bool: faces with two equal corners, and faces that are flat to within `FLAT_HEIGHT`."""
    corners = unit_vertices(mesh)[mesh.faces]
    sides = np.sqrt(((corners - np.roll(corners, -1, axis=1)) ** 2).sum(2)).max(1)
    doubled = np.sqrt((np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) ** 2).sum(1))
    repeated = (mesh.faces == np.roll(mesh.faces, 1, axis=1)).any(1)
    return repeated | (doubled <= FLAT_HEIGHT * sides)


def degenerate_ratio(mesh: Mesh) -> float:
    """Share of degenerate faces, in [0, 1].

    Raises:
        MeshError: for a mesh without faces.
    """
    return float(degenerate_faces(_with_faces(mesh)).mean())


def sliver_ratio(mesh: Mesh, degrees: float = SLIVER_DEGREES) -> float:
    """Share of faces with an angle below so many degrees, degenerate ones among them, in [0, 1].

    Raises:
        MeshError: for a mesh without faces.
    """
    return float((smallest_angles(_with_faces(mesh)) < degrees).mean())


def _with_faces(mesh: Mesh) -> Mesh:
    if not len(mesh.faces):
        raise MeshError("the mesh has no faces")
    return mesh


__all__ = [
    "SLIVER_DEGREES",
    "corner_angles",
    "degenerate_faces",
    "degenerate_ratio",
    "sliver_ratio",
    "smallest_angles",
]
