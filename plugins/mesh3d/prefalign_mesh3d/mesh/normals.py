"""Normals and areas of faces, for coordinates of any magnitude."""

from __future__ import annotations

import numpy as np

from prefalign_mesh3d.mesh.mesh import Mesh


def unit_vertices(mesh: Mesh) -> np.ndarray:
    """(V, 3) vertices moved and scaled so that the faces lie in [0, 1]³ and their longest side spans 1.

    Products of coordinates that are finite but extreme overflow or vanish; those of these do not. Vertices without a
    face are moved to the border.
    """
    if not len(mesh.faces):
        return np.zeros_like(mesh.vertices)
    # Halved before they are subtracted, so that the difference of two huge coordinates stays finite.
    half = mesh.vertices / 2
    used = half[mesh.faces.ravel()]
    low, high = used.min(0), used.max(0)
    return (np.clip(half, low, high) - low) / (float((high - low).max()) or 1.0)


def face_normals(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """(F, 3) unit normals, 0 for faces without area, and (F,) areas in units of the longest side squared."""
    a, b, c = unit_vertices(mesh)[mesh.faces.T]
    crossed = np.cross(b - a, c - a)
    doubled = np.sqrt((crossed**2).sum(1))
    return crossed / np.where(doubled > 0, doubled, 1)[:, None], doubled / 2


__all__ = ["face_normals", "unit_vertices"]
