"""Which pixels triangles cover."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import Delaunay

from prefalign_mesh3d.rendering import coverage
from prefalign_mesh3d.rendering.coverage import SUBPIXELS, covered, twice_areas


def counts(corners, size):
    """(F, size, size) how often each face has each pixel, row before column."""
    corners = torch.as_tensor(np.asarray(corners))
    areas = twice_areas(corners)
    corners = torch.where((areas < 0)[:, None, None], corners.flip(1), corners)[areas != 0]
    found = torch.zeros(len(corners), size, size, dtype=torch.long)
    for face, x, y in covered(corners, size):
        found.index_put_((face, y, x), torch.ones_like(face), accumulate=True)
    return found.numpy()


def test_a_triangle_by_hand():
    """Legs of 4 pixels along both axes. The diagonal x + y = 4 goes through the middles (0.5, 3.5), (1.5, 2.5) …; they
    belong to the face on the other side, since the edge runs upwards here."""
    found = counts([[[0, 0], [4 * SUBPIXELS, 0], [0, 4 * SUBPIXELS]]], 5)[0]
    inside = [[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    diagonal = np.fliplr(np.eye(4, dtype=int))
    whole = np.array(inside)
    whole[:4, :4] += diagonal
    other = counts([[[4 * SUBPIXELS, 0], [4 * SUBPIXELS, 4 * SUBPIXELS], [0, 4 * SUBPIXELS]]], 5)[0]
    assert found.tolist() in (inside, whole.tolist())
    square = np.zeros((5, 5), int)
    square[:4, :4] = 1
    assert (found + other).tolist() == square.tolist()


def brute(corner, size):
    """Pixels strictly inside, and those inside or on the edge."""
    middle = np.arange(size) * SUBPIXELS + SUBPIXELS // 2
    x, y = np.meshgrid(middle, middle)
    values = []
    for (px, py), (qx, qy) in zip(corner, np.roll(corner, -1, 0), strict=True):
        values.append((qx - px) * (y - py) - (qy - py) * (x - px))
    values = np.array(values) * np.sign(np.linalg.det(np.array([corner[1] - corner[0], corner[2] - corner[0]])))
    return (values > 0).all(0), (values >= 0).all(0)


point = st.tuples(st.integers(-3000, 6000), st.integers(-3000, 6000))


@settings(max_examples=200, deadline=None)
@given(st.lists(point, min_size=3, max_size=3))
def test_a_triangle_covers_what_it_contains(corner):
    corner = np.array(corner)
    found = counts([corner], 12)
    if not len(found):
        return
    strictly, closed = brute(corner, 12)
    assert (found[0] <= closed).all()
    assert (found[0] >= strictly).all()


# Multiples of 64 meet pixel middles often, which is where ties are decided.
coarse = st.tuples(*[st.integers(-8, 40).map(lambda step: 64 * step)] * 2)


@settings(max_examples=150, deadline=None)
@given(st.lists(coarse, min_size=4, max_size=12, unique=True))
def test_neighbours_share_no_pixel_and_leave_none_out(points):
    points = np.array(points)
    if np.linalg.matrix_rank(points - points[0]) < 2:
        return
    faces = Delaunay(points).simplices
    total = counts(points[faces], 10).sum(0)
    assert total.max() <= 1
    inside = np.zeros((10, 10), bool)
    for face in faces:
        inside |= brute(points[face], 10)[0]
    # On edges between two faces, too.
    hull = Delaunay(points).convex_hull
    middle = np.arange(10) * SUBPIXELS + SUBPIXELS // 2
    x, y = np.meshgrid(middle, middle)
    for i, j in hull:
        (px, py), (qx, qy) = points[i], points[j]
        third = np.sign((qx - px) * (points[:, 1] - py) - (qy - py) * (points[:, 0] - px))
        inner = third[np.argmax(np.abs(third))]
        side = inner * ((qx - px) * (y - py) - (qy - py) * (x - px)) > 0
        inside = side if (i, j) == tuple(hull[0]) else inside & side
    assert (total[inside] == 1).all()


def test_pieces_do_not_change_what_is_covered(monkeypatch):
    corners = np.random.default_rng(0).integers(-500, 4000, (40, 3, 2))
    whole = counts(corners, 16)
    monkeypatch.setattr(coverage, "_ROWS", 7)
    monkeypatch.setattr(coverage, "_PIXELS", 5)
    assert (counts(corners, 16) == whole).all()


@pytest.mark.parametrize("far", [1 << 20, 1 << 28])
def test_a_triangle_far_larger_than_the_picture(far):
    assert (
        counts([[[-far, -far], [far, -far], [far, far]], [[-far, -far], [far, far], [-far, far]]], 9).sum(0) == 1
    ).all()


def test_nothing_to_cover():
    assert not list(covered(torch.zeros(0, 3, 2, dtype=torch.long), 4))
    assert not counts([[[5000, 5000], [6000, 5000], [5000, 6000]]], 4).any()
