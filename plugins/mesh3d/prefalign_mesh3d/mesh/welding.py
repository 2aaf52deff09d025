"""Joining vertices that lie in one place: what edges and components are read from."""

from __future__ import annotations

import numpy as np

from prefalign_mesh3d.mesh.mesh import Mesh


def welded(mesh: Mesh) -> Mesh:
    """The mesh with one vertex for each position that faces use; faces keep their order and corners.

    File formats that store corners by face (STL), or a vertex once for each normal or texture coordinate (OBJ, GLB),
    would otherwise be full of open edges. Positions are compared exactly: what lies apart stays apart.
    """
    used, corners = np.unique(mesh.faces, return_inverse=True)
    unique, index = np.unique(mesh.vertices[used], axis=0, return_inverse=True)
    return Mesh(unique, index.ravel()[corners].reshape(-1, 3))


__all__ = ["welded"]
