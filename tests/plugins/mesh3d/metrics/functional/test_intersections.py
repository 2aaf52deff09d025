"""Faces that cross: by hand, against exact arithmetic, and against open3d."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.functional.intersections import self_intersecting_ratio, self_intersections


def box(low, high):
    shape = trimesh.creation.box(bounds=[low, high])
    return Mesh(shape.vertices, shape.faces)


def joined(*meshes):
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces))


def soup(points):
    points = np.asarray(points, float)
    return Mesh(points.reshape(-1, 3), np.arange(points.size // 3).reshape(-1, 3))


def cross_exactly(p, q):
    """The definition in rational arithmetic: corners on both sides of both planes, and a common stretch of the line."""
    p, q = ([[Fraction(x) for x in corner] for corner in triangle] for triangle in (p, q))

    def minus(a, b):
        return [x - y for x, y in zip(a, b, strict=True)]

    def dot(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    def normal(t):
        (a, b, c), (d, e, f) = minus(t[1], t[0]), minus(t[2], t[0])
        return [b * f - c * e, c * d - a * f, a * e - b * d]

    heights = [[dot(normal(q), minus(corner, q[0])) for corner in p], [dot(normal(p), minus(c, p[0])) for c in q]]
    if any(max(height) <= 0 or min(height) >= 0 for height in heights):
        return False
    line = normal([[0, 0, 0], normal(p), normal(q)])
    spans = []
    for triangle, height in zip((p, q), heights, strict=True):
        at = [dot(line, corner) for corner in triangle]
        ends = [place for place, h in zip(at, height, strict=True) if h == 0]
        for i, j in combinations(range(3), 2):
            if height[i] * height[j] < 0:
                ends.append(at[i] + (at[j] - at[i]) * height[i] / (height[i] - height[j]))
        spans.append((min(ends), max(ends)))
    return min(spans[0][1], spans[1][1]) > max(spans[0][0], spans[1][0])


def test_two_triangles():
    lying = [[0, 0, 0], [4, 0, 0], [0, 4, 0]]
    cases = {
        "through": ([[1, 1, -1], [1, 1, 1], [2, 2, 1]], 1),
        "a corner on the face": ([[1, 1, 0], [1, 1, 1], [2, 2, 1]], 0),
        "an edge on the face": ([[1, 1, 0], [2, 1, 0], [2, 2, 1]], 0),
        "above": ([[1, 1, 0.5], [1, 1, 1], [2, 2, 1]], 0),
        "beside, through its plane": ([[5, 5, -1], [5, 5, 1], [6, 6, 1]], 0),
        "edge against edge": ([[-1, 2, -1], [-1, 2, 1], [0, 2, 0]], 0),
        "in one plane": ([[1, 1, 0], [2, 1, 0], [1, 2, 0]], 0),
        "the same again": (lying, 0),
    }
    for name, (other, expected) in cases.items():
        assert len(self_intersections(soup([lying, other]))) == expected, name


def test_a_corner_that_barely_reaches_through_only_touches():
    lying = [[0, 0, 0], [4, 0, 0], [0, 4, 0]]
    for depth, expected in ((1e-10, 0), (1e-7, 1)):
        assert len(self_intersections(soup([lying, [[1, 1, -depth], [1, 2, 1], [2, 1, 1]]]))) == expected


def test_faces_that_share_a_vertex_are_left_out():
    points = [[0, 0, 0], [4, 0, 0], [0, 4, 0], [1, 1, -1], [1, 1, 1]]
    assert len(self_intersections(Mesh(points, [[0, 1, 2], [0, 3, 4]]))) == 0
    assert len(self_intersections(soup(np.array(points)[[0, 1, 2, 0, 3, 4]]))) == 1


@pytest.mark.parametrize("shift", [0.5, 0.3])
def test_boxes_that_cross(shift):
    """Each of three sides of one box meets two sides of the other, and the other way round: a ring of six stretches.

    Shifted by half a side, the ring touches the diagonals in corners only, so that each stretch is one pair. Otherwise
    diagonals cut stretches in two.
    """
    found = self_intersections(joined(box([0, 0, 0], [1, 1, 1]), box([shift] * 3, [1 + shift] * 3)))
    assert ((found[:, 0] < 12) & (found[:, 1] >= 12)).all()
    assert len(found) >= 6
    assert shift != 0.5 or len(found) == 6


def test_boxes_that_touch():
    low = box([0, 0, 0], [2, 2, 1])
    for other in (
        box([0, 0, 1], [2, 2, 2]),  # the same side
        box([0.5, 0.5, 1], [1, 1, 2]),  # stands on it
        box([1, 1, 1], [3, 3, 2]),  # overhangs
        box([2, 2, 1], [3, 3, 2]),  # one corner
        box([0.5, 0.5, 0.2], [1, 1, 0.8]),  # inside
    ):
        assert len(self_intersections(joined(low, other))) == 0


@pytest.mark.parametrize("subdivisions", [0, 3])
def test_a_sphere_does_not_cross_itself(subdivisions):
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions)
    assert len(self_intersections(Mesh(sphere.vertices, sphere.faces))) == 0


def test_ratio_counts_faces():
    lying, other = [[0, 0, 0], [4, 0, 0], [0, 4, 0]], [[1, 1, -1], [1, 1, 1], [2, 2, 1]]
    away = [[9, 9, 9], [9, 9, 10], [9, 10, 9]]
    mesh = soup([lying, other, away, away[::-1]])
    assert self_intersecting_ratio(mesh) == 2 / 4
    assert self_intersecting_ratio(mesh, np.array([[0, 1], [0, 2]])) == 3 / 4
    # A repeat of a face crosses nothing once more.
    repeated = Mesh(mesh.vertices, np.concatenate([mesh.faces, mesh.faces[:, ::-1]]))
    assert self_intersections(repeated).tolist() == [[0, 1]]
    with pytest.raises(MeshError, match="no faces"):
        self_intersecting_ratio(Mesh(np.eye(3), np.zeros((0, 3))))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.sampled_from([2, 4, 9]))
def test_against_exact_arithmetic(seed, count, levels):
    """Triangles on a small grid, where most pairs touch, share planes, or are flat; moved and scaled on the way."""
    points = np.random.default_rng(seed).integers(0, levels, (count, 3, 3))
    distinct = [i for i in range(count) if len(np.unique(points[i], axis=0)) == 3]
    expected = [(i, j) for i, j in combinations(distinct, 2) if cross_exactly(points[i].tolist(), points[j].tolist())]
    assert list(map(tuple, self_intersections(soup(points * 0.3 + 7)).tolist())) == expected


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_blind_to_order_turn_and_size(seed):
    random = np.random.default_rng(seed)
    points = random.normal(size=(12, 3, 3))
    found = set(map(tuple, self_intersections(soup(points)).tolist()))
    order = random.permutation(12)
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    moved = np.roll(points[order] @ turn * 40 + 3, random.integers(3), axis=1)
    again = {tuple(sorted(order[list(pair)].tolist())) for pair in self_intersections(soup(moved)).tolist()}
    assert again == found


@pytest.mark.oracle
def test_against_open3d():
    """The same pairs on triangles in general position; open3d counts contact too, as the shifted boxes show."""
    open3d = pytest.importorskip("open3d", exc_type=ImportError)

    def theirs(mesh):
        vertices = open3d.utility.Vector3dVector(mesh.vertices)
        shape = open3d.geometry.TriangleMesh(vertices, open3d.utility.Vector3iVector(mesh.faces.astype(np.int32)))
        return {tuple(sorted(pair)) for pair in np.asarray(shape.get_self_intersecting_triangles()).tolist()}

    for seed in range(4):
        mesh = soup(np.random.default_rng(seed).normal(size=(60, 3, 3)))
        found = set(map(tuple, self_intersections(mesh).tolist()))
        assert found == theirs(mesh)
        assert len(found) > 100
    crossed = joined(box([0, 0, 0], [1, 1, 1]), box([0.5] * 3, [1.5] * 3))
    assert set(map(tuple, self_intersections(crossed).tolist())) < theirs(crossed)
