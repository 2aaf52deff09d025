"""Meshes that are nearly another one: wrong around a single vertex."""

from __future__ import annotations

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import canonical, face_keys
from prefalign_mesh3d.mesh.mesh import GridMesh

#: Changes that are tried; of a mesh with three faces nearly every one is a change.
TRIES = 100


def near_miss(grid: GridMesh, seed: int) -> GridMesh:
    """The mesh with one vertex a cell or two away from its place, or without two of the faces around it.

    Args:
        grid: with three faces at least.
        seed: of which vertex, and what becomes of it.

    Raises:
        MeshError: if the mesh has no face, or none of `TRIES` changes leaves another mesh with a face.
    """
    if not len(grid.faces):
        raise MeshError("a mesh without faces has no near miss; give one with three faces at least")
    rng = np.random.default_rng(seed)
    for _ in range(TRIES):
        vertex = int(rng.integers(len(grid.vertices)))
        cells, faces = grid.vertices.copy(), grid.faces
        around = np.flatnonzero((faces == vertex).any(1))
        if rng.random() < 0.5:
            faces = np.delete(faces, rng.choice(around, min(2, len(around)), replace=False), axis=0)
        else:
            axis, far = int(rng.integers(3)), int(rng.choice([-2, -1, 1, 2]))
            cells[vertex, axis] = np.clip(cells[vertex, axis] + far, 0, grid.levels - 1)
        missed = canonical(cells, faces, grid.levels)
        # A vertex at the border that was moved outwards is where it was.
        if len(missed.faces) and not np.array_equal(face_keys(missed), face_keys(grid)):
            return missed
    raise MeshError(
        f"no near miss of {len(grid.faces)} faces on {grid.levels} levels in {TRIES} tries; "
        "give a mesh with three faces at least"
    )
