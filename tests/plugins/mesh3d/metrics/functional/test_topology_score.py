"""The topology score, by hand."""

import numpy as np
import pytest

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.functional.quads import quads
from prefalign_mesh3d.metrics.functional.topology_score import topology_score


def strip(*columns):
    """Quads side by side: columns of a lower and an upper point, each square split along a diagonal."""
    points = np.array([[x, y, 0] for column in columns for x, y in column], float)
    start = 2 * np.arange(len(columns) - 1)[:, None]
    return Mesh(points, np.concatenate([start + np.array(face) for face in ([0, 2, 3], [0, 3, 1])]))


def test_a_cube_is_perfect(cube):
    found = topology_score(cube)
    assert (found.quad_ratio, found.angle, found.aspect, found.consistency) == pytest.approx((1, 1, 1, 1))
    assert found.score == pytest.approx(100)


def test_two_rectangles_and_a_triangle():
    """Rectangles 1 by 2 in a row, one spare triangle: 4 of 5 faces, aspect 1/2, the one edge between quads straight.

    100 (0.4 · 4/5 + 0.2 + 0.3 / 2 + 0.1) = 77.
    """
    mesh = strip([(0, 0), (0, 1)], [(2, 0), (2, 1)], [(4, 0), (4, 1)])
    spare = Mesh(np.concatenate([mesh.vertices, [[9, 9, 0]]]), np.concatenate([mesh.faces, [[4, 6, 5]]]))
    found = topology_score(spare)
    assert (found.quad_ratio, found.angle, found.aspect, found.consistency) == pytest.approx((0.8, 1, 0.5, 1))
    assert found.score == pytest.approx(77)


@pytest.mark.parametrize(("lean", "consistent"), [(0.25, 1), (0.325, 0)])
def test_consistency_is_the_turn_of_opposite_edges(lean, consistent):
    """The outer sides lean by atan(lean) each way: 28.07 and 36.0 degrees between them, the limit is 30."""
    lean /= 2
    mesh = strip([(-lean, 0), (lean, 1)], [(2, 0), (2, 1)], [(4 + lean, 0), (4 - lean, 1)])
    merged = quads(mesh)
    assert len(merged.pairs) == 2
    assert topology_score(mesh, merged).consistency == consistent


def test_terms_over_nothing_are_zero():
    alone = topology_score(Mesh(np.eye(3), [[0, 1, 2]]))
    assert (alone.quad_ratio, alone.angle, alone.aspect, alone.consistency, alone.score) == (0, 0, 0, 0, 0)
    square = topology_score(strip([(0, 0), (0, 1)], [(1, 0), (1, 1)]))
    assert square.consistency == 0
    assert square.score == pytest.approx(90)
    with pytest.raises(MeshError, match="no faces"):
        topology_score(Mesh(np.eye(3), np.zeros((0, 3))))


def test_the_unit_decides_nothing(cube):
    bent = Mesh(cube.vertices + np.random.default_rng(0).normal(0, 0.1, (8, 3)), cube.faces)
    expected = topology_score(bent).score
    assert 50 < expected < 99
    for scale in (1e-150, 1e150):
        assert topology_score(Mesh(bent.vertices * scale, cube.faces)).score == pytest.approx(expected)
