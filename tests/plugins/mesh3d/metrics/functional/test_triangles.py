"""Angles of triangles, slivers, collapsed faces."""

import numpy as np
import pytest
import trimesh

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.functional.triangles import (
    corner_angles,
    degenerate_faces,
    degenerate_ratio,
    sliver_ratio,
    smallest_angles,
)

#: Angles 90, 60, 30; 45, 90, 45; a sliver of about 0.57 degrees; flat; two equal corners.
POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 3**0.5, 0], [0, 1, 0], [1, 0.01, 0], [0.5, 0, 0]])
FACES = np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4], [0, 5, 1], [0, 1, 1]])


def test_angles_by_hand():
    np.testing.assert_allclose(corner_angles(*POINTS[FACES[:2].T]), [[90, 60, 30], [45, 90, 45]])
    np.testing.assert_allclose(corner_angles(*POINTS[FACES[3:].T]), [[0, 180, 0], [0, 0, 0]])


@pytest.mark.parametrize("scale", [1e-200, 1, 1e200])
def test_smallest_angles_in_any_unit(scale):
    expected = [30, 45, np.degrees(np.arctan(0.01)), 0, 0]
    np.testing.assert_allclose(smallest_angles(Mesh(POINTS * scale, FACES)), expected)
    assert degenerate_faces(Mesh(POINTS * scale, FACES)).tolist() == [False, False, False, True, True]


def test_a_small_face_is_not_a_flat_one():
    """Sides of 1e-6 in a shape of side 1: its height is a hundred times the limit, its area far below it."""
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1e-6, 0, 0], [0, 1e-6, 0], [0.5, 1e-9, 0]])
    assert degenerate_faces(Mesh(points, [[0, 1, 2], [0, 3, 4], [0, 1, 5]])).tolist() == [False, False, True]


def test_ratios():
    mesh = Mesh(POINTS, FACES)
    assert degenerate_ratio(mesh) == 2 / 5
    assert sliver_ratio(mesh) == 3 / 5
    assert sliver_ratio(mesh, 31) == 4 / 5


def test_angles_against_trimesh():
    shape = trimesh.creation.torus(2, 0.5, major_sections=11, minor_sections=7)
    theirs = np.degrees(shape.face_angles)
    np.testing.assert_allclose(corner_angles(*shape.vertices[shape.faces.T]), theirs, atol=1e-5)
    np.testing.assert_allclose(smallest_angles(Mesh(shape.vertices, shape.faces)), theirs.min(1), atol=1e-5)


def test_tiny_angles_keep_their_digits():
    """An arc cosine would make 1e-9 rad of this one 0."""
    found = corner_angles(*np.array([[[0, 0, 0]], [[1, 0, 0]], [[1, 1e-9, 0]]]))[0, 0]
    assert found == pytest.approx(np.degrees(1e-9), rel=1e-6)


@pytest.mark.parametrize("ratio", [degenerate_ratio, sliver_ratio])
def test_no_faces(ratio):
    with pytest.raises(MeshError, match="no faces"):
        ratio(Mesh(POINTS, np.zeros((0, 3))))
