"""The shape of single triangles: angles, slivers, and faces that have collapsed."""

from __future__ import annotations

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.normals import crossed, dotted, unit_vertices

#: Triangles with an angle below this many degrees are called slivers.
SLIVER_DEGREES = 5.0
#: A face is degenerate if its height over its longest side is at most this share of the shape's longest side.
FLAT_HEIGHT = 1e-8


def corner_angles(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(n, 3) angles in degrees at the corners of n triangles; 0 at all three where two corners coincide.

    Args:
        a, b, c: (n, 3) corners, small enough to be squared.
    """
    sides = b - a, c - b, a - c
    # Twice the area, which is the sine of each angle times its sides. The arc tangent keeps the digits of small angles.
    doubled = crossed(sides[0], sides[2])
    across = np.sqrt(dotted(doubled, doubled))
    angles = np.degrees(np.stack([np.arctan2(across, -dotted(sides[i], sides[i - 1])) for i in range(3)], axis=1))
    collapsed = np.any([(side == 0).all(1) for side in sides], axis=0)
    angles[collapsed] = 0
    return angles


def smallest_angles(mesh: Mesh) -> np.ndarray:
    """(F,) smallest angle of each face in degrees, in [0, 60]."""
    return corner_angles(*unit_vertices(mesh)[mesh.faces.T]).min(1)


def degenerate_faces(mesh: Mesh) -> np.ndarray:
    """(F,) bool: faces with two equal corners, and faces that are flat to within `FLAT_HEIGHT`."""
    a, b, c = unit_vertices(mesh)[mesh.faces.T]
    sides = b - a, c - b, a - c
    longest = np.sqrt(np.max([dotted(side, side) for side in sides], axis=0))
    doubled = crossed(sides[0], sides[2])
    return np.asarray(np.sqrt(dotted(doubled, doubled)) <= FLAT_HEIGHT * longest)


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
