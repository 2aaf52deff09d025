"""Exact distances of points from a surface, by open3d's ray casting scene.

Distances from points to points are too long: where the surfaces meet, the nearest drawn point is still about the
spacing of the points away. With 1,024 points that spacing exceeds the distances at which F-scores are usually read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh


def surface_distances(points: np.ndarray, mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each point from the nearest point of the surface, computed in float32.

    Args:
        points: (n, 3), of the magnitude of placed shapes.
        mesh: with at least one face.

    Returns:
        (n,) float64 distances, at least 0, and (n,) int64 faces on which the nearest points lie.

    Raises:
        MeshError: for a mesh without faces, or without open3d.
    """
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise MeshError(
            f'distances to surfaces need open3d ({error}): pip install "prefalign-mesh3d[open3d]"; its wheel needs '
            "libGL, libEGL, libX11 and libusb of the system"
        ) from error
    if not len(mesh.faces):
        raise MeshError("the mesh has no faces, so nothing is near it")
    scene: Any = open3d.t.geometry.RaycastingScene()
    tensor: Any = open3d.core.Tensor
    scene.add_triangles(tensor(mesh.vertices.astype(np.float32)), tensor(mesh.faces.astype(np.uint32)))
    queries = points.astype(np.float32)
    found = scene.compute_closest_points(tensor(queries))
    distances = np.sqrt(((found["points"].numpy().astype(np.float64) - queries) ** 2).sum(1))
    return distances, found["primitive_ids"].numpy().astype(np.int64)


__all__ = ["surface_distances"]
