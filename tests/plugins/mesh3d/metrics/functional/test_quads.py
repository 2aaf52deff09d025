"""Triangles merged into quads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.functional.quads import quads


def hinge(degrees, width=1.0):
    """Two right triangles that make a 1 by `width` rectangle, bent along its diagonal by an angle."""
    a, u, v = np.array([0, 0, 0.0]), np.array([1.0, 0, 0]), np.array([0, width, 0])
    axis = (v - u) / np.linalg.norm(v - u)
    flat = np.array([1, width, 0]) - u
    turn = np.radians(degrees)
    along = axis * (flat @ axis)
    b = u + along + (flat - along) * np.cos(turn) + np.cross(axis, flat - along) * np.sin(turn)
    return Mesh(np.stack([a, u, v, b]), np.array([[0, 1, 2], [3, 2, 1]]))


def test_a_square():
    found = quads(hinge(0))
    assert found.pairs.tolist() == [[0, 1]]
    assert found.corners.tolist() == [[0, 1, 3, 2]]
    np.testing.assert_allclose([found.angle, found.aspect, found.planarity, found.quality], 1)
    np.testing.assert_allclose(found.face_quality, [1, 1])


def test_a_rectangle_of_one_to_four():
    """Right angles and sides of 1 and 4: quality (0.2 · 1 + 0.3 · 1/4) / 0.5."""
    found = quads(hinge(0, 4))
    assert found.angle[0] == pytest.approx(1)
    assert found.aspect[0] == pytest.approx(0.25)
    assert found.quality[0] == pytest.approx(0.55)


def test_a_rhombus():
    """Two equilateral triangles: corners of 60 and 120 degrees, 1 - 30/90, all sides equal."""
    height = 3**0.5 / 2
    found = quads(Mesh([[0, 0, 0], [1, 0, 0], [0.5, height, 0], [0.5, -height, 0]], [[0, 1, 2], [1, 0, 3]]))
    assert found.angle[0] == pytest.approx(2 / 3)
    assert found.aspect[0] == pytest.approx(1)
    assert found.planarity[0] == pytest.approx(1)


def test_the_bend():
    """Up to 45 degrees; planarity is the cosine. A right angle on either side of the fold is no quad."""
    assert quads(hinge(30)).planarity[0] == pytest.approx(np.cos(np.radians(30)))
    assert [len(quads(hinge(bend)).pairs) for bend in (-46, -44, 44, 46, 90, 180)] == [0, 1, 1, 0, 0, 0]


def test_a_notch_is_no_quad():
    """Corners at (0, 0), (2, 0), (0, 2) and a fourth at (0.9, 0.9): the quad around the diagonal is reflex there."""
    points = [[0, 0, 0], [2, 0, 0], [0, 2, 0], [0.9, 0.9, 0]]
    assert len(quads(Mesh(points, [[0, 1, 3], [0, 3, 2]])).pairs) == 0


def test_winding_decides_nothing():
    mesh = hinge(20, 2)
    flipped = Mesh(mesh.vertices, [[0, 1, 2], [1, 2, 3]])
    assert quads(flipped).planarity[0] == pytest.approx(quads(mesh).planarity[0])


def test_the_best_pair_comes_first():
    """A square between two slanted triangles: taking either of these first would cost the square."""
    points = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0.4, 0], [-1, 0.6, 0]]
    found = quads(Mesh(points, [[1, 4, 2], [0, 1, 2], [0, 2, 3], [0, 3, 5]]))
    assert found.pairs.tolist() == [[1, 2]]
    np.testing.assert_allclose(found.face_quality, [0, 1, 1, 0])


def test_a_cube_is_six_squares(cube):
    found = quads(cube)
    np.testing.assert_array_equal(np.sort(found.pairs.ravel()), np.arange(12))
    np.testing.assert_array_equal(found.pairs[:, 0] // 2, found.pairs[:, 1] // 2)
    np.testing.assert_allclose(found.face_quality, 1)


def test_nothing_to_merge():
    for faces in (np.zeros((0, 3)), [[0, 1, 2]], [[0, 1, 2], [0, 2, 1]], [[0, 1, 1], [1, 1, 2]]):
        found = quads(Mesh(np.eye(3), faces))
        assert found.pairs.shape == (0, 2)
        assert found.corners.shape == (0, 4)
        assert found.face_quality.tolist() == [0] * len(faces)
    # Three faces on one edge: none of the pairs is preferred, so none is merged over it.
    book = Mesh(
        np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [-1, 0.9, 0], [-1, 0, 0.1]]), [[0, 1, 2], [1, 0, 3], [1, 0, 4]]
    )
    assert len(quads(book).pairs) == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_laws(seed):
    """Greedy is maximal and blind to order, turn, size and place; ties included, as the bumpy grid has many."""
    random = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(5.0), np.arange(4.0))
    points = np.stack([x, y, random.integers(0, 3, x.shape) / 4], 2).reshape(-1, 3)
    index = np.arange(20).reshape(4, 5)
    a, b, c, d = index[:-1, :-1].ravel(), index[:-1, 1:].ravel(), index[1:, 1:].ravel(), index[1:, :-1].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    mesh = Mesh(points, faces)
    found = quads(mesh)
    assert len(np.unique(found.pairs)) == 2 * len(found.pairs)
    assert ((found.quality > 0) & (found.quality <= 1)).all()
    # What is left over cannot be merged any more.
    rest = np.flatnonzero(found.face_quality == 0)
    assert len(quads(Mesh(points, faces[rest])).pairs) == 0
    names, places = random.permutation(20), random.permutation(len(faces))
    moved = np.empty_like(points)
    moved[names] = points * 7 + 3
    again = quads(Mesh(moved, np.roll(names[faces][places], random.integers(3), axis=1)))
    np.testing.assert_allclose(again.face_quality, found.face_quality[places], atol=1e-12)
