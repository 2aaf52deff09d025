"""Shapes whose numbers are known."""

import numpy as np
import pytest

from prefalign_mesh3d.mesh.mesh import Mesh


def box(low=(0, 0, 0), high=(1, 1, 1)):
    """A closed box of 12 triangles; those of the side x = low are the first two."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [face for a, b, c, d in sides for face in ((a, b, c), (a, c, d))]
    return Mesh(corners * (np.array(high) - low) + low, np.array(faces))


def joined(*meshes):
    """Several meshes as one."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces))


@pytest.fixture
def cube():
    return box()


@pytest.fixture
def open_cube(cube):
    """The cube without its first side."""
    return Mesh(cube.vertices, cube.faces[2:])
