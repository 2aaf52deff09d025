"""Joining vertices."""

import numpy as np
import trimesh

from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.welding import welded


def test_a_soup_becomes_a_cube():
    cube = trimesh.creation.box()
    soup = Mesh(cube.triangles.reshape(-1, 3), np.arange(36).reshape(-1, 3))
    joined = welded(soup)
    assert len(joined.vertices) == 8
    np.testing.assert_array_equal(joined.vertices[joined.faces], soup.vertices[soup.faces])


def test_what_is_apart_stays_apart_and_what_no_face_uses_goes():
    points = np.array([[0, 0, 0], [-0.0, 1, 0], [0.0, 1, 0], [0, 1 + 1e-12, 0], [1, 0, 0], [7, 7, 7]])
    joined = welded(Mesh(points, [[0, 1, 4], [2, 3, 4]]))
    assert len(joined.vertices) == 4
    assert len(np.unique(joined.faces)) == 4
    assert joined.faces[0, 1] == joined.faces[1, 0]


def test_no_faces():
    joined = welded(Mesh(np.eye(3), np.zeros((0, 3))))
    assert (len(joined.vertices), len(joined.faces)) == (0, 0)
