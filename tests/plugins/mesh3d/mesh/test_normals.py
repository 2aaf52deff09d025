"""Normals and areas of faces."""

import numpy as np

from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.normals import face_normals, unit_vertices

#: In the plane z = 2: areas 1/2, 0 and 3/2, the last wound clockwise seen from above; and a vertex of no face.
PLATES = Mesh(
    np.array([[0, 0, 2], [1, 0, 2], [0, 1, 2], [5, 0, 2], [8, 0, 2], [5, 1, 2], [1e300, -3, 2]], float),
    np.array([[0, 1, 2], [0, 1, 1], [3, 5, 4]]),
)


def test_normals_and_areas():
    normals, areas = face_normals(PLATES)
    np.testing.assert_allclose(normals, [[0, 0, 1], [0, 0, 0], [0, 0, -1]])
    np.testing.assert_allclose(areas, np.array([1 / 2, 0, 3 / 2]) / 64)


def test_the_faces_fill_the_unit_cube():
    """The longest side is x, from 0 to 8. The vertex of no face decides nothing, and ends on the border."""
    points = unit_vertices(PLATES)
    np.testing.assert_allclose(points[:6], (PLATES.vertices[:6] - [0, 0, 2]) / 8)
    np.testing.assert_array_equal(points[6], [1, 0, 0])


def test_extreme_units_change_nothing():
    plain = face_normals(PLATES)
    for scale in (2.0**-900, 2.0**700):
        scaled = face_normals(Mesh(np.clip(PLATES.vertices, 0, 8) * scale, PLATES.faces))
        for one, other in zip(plain, scaled, strict=True):
            np.testing.assert_allclose(other, one)
    huge = Mesh((np.clip(PLATES.vertices, 0, 8) - 4) * 4e307, PLATES.faces)
    np.testing.assert_allclose(face_normals(huge)[1], plain[1])


def test_no_faces_and_faces_in_one_point():
    assert [array.shape for array in face_normals(Mesh(PLATES.vertices, np.zeros((0, 3))))] == [(0, 3), (0,)]
    normals, areas = face_normals(Mesh(np.ones((3, 3)), np.array([[0, 1, 2]])))
    np.testing.assert_array_equal(normals, [[0, 0, 0]])
    np.testing.assert_array_equal(areas, [0])
