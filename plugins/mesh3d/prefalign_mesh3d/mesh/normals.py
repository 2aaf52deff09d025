"""Normals and areas of faces, for coordinates of any magnitude."""

from __future__ import annotations

import numpy as np

from prefalign_mesh3d.mesh.mesh import Mesh, bounds


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
    low, high = bounds(used)
    return (np.clip(half, low, high) - low) / (float((high - low).max()) or 1.0)


def face_normals(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """(F, 3) unit normals, 0 for faces without area, and (F,) areas in units of the longest side squared."""
    a, b, c = unit_vertices(mesh)[mesh.faces.T]
    normals = crossed(b - a, c - a)
    doubled = np.sqrt(dotted(normals, normals))
    return normals / np.where(doubled > 0, doubled, 1)[:, None], doubled / 2


def crossed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n, 3) cross products of rows, which `np.cross` takes several times as long for."""
    (a, b, c), (d, e, f) = first.T, second.T
    found = np.empty((len(first), 3))
    found[:, 0], found[:, 1], found[:, 2] = b * f - c * e, c * d - a * f, a * e - b * d
    return found


def dotted(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n,) dot products of rows."""
    return np.einsum("ij,ij->i", first, second)


__all__ = ["crossed", "dotted", "face_normals", "unit_vertices"]
