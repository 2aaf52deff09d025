"""Thresholds on the grid, and the figures that they are compared with."""

from dataclasses import replace

import numpy as np
import pytest

from prefalign_mesh3d.data.quality import Figures, Quality, figures
from prefalign_mesh3d.demo.shapes import boxes
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import canonical, quantise
from prefalign_mesh3d.mesh.mesh import Mesh

GOOD = Figures(faces=100, lost=0.1, boundary=0.1, non_manifold=0.01, parts=3, watertight=False)
BOUNDS = Quality(min_faces=10, max_faces=1000, lost=0.5, boundary=0.3, non_manifold=0.1, parts=5)


def test_figures_of_two_boxes_one_open():
    two = boxes([((0, 0, 0), (1, 1, 1)), ((2, 0, 0), (3, 1, 1))])
    closed = figures(quantise(two, 16), 24)
    assert closed == Figures(24, 0.0, 0.0, 0.0, 2, True)
    # Without one triangle three of the 36 edges have one face.
    opened = figures(quantise(Mesh(two.vertices, two.faces[:-1]), 16), 23)
    assert opened == Figures(23, 0.0, 3 / 36, 0.0, 2, False)


def test_lost_counts_what_is_repeated_and_what_the_grid_swallows():
    box = boxes([((0, 0, 0), (1, 1, 1))])
    tiny = boxes([((0.4, 0.4, 0.4), (0.401, 0.401, 0.401))])
    faces = np.concatenate([box.faces, box.faces[:6], tiny.faces + 8])
    both = Mesh(np.concatenate([box.vertices, tiny.vertices]), faces)
    assert figures(quantise(both, 16), len(faces)).lost == pytest.approx(18 / 30)


def test_three_faces_at_one_edge_are_not_manifold():
    cells = np.array([[0, 0, 0], [0, 0, 3], [3, 0, 0], [0, 3, 0], [3, 3, 0]])
    grid = canonical(cells, np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]]), 4)
    found = figures(grid, 3)
    assert (found.non_manifold, found.boundary) == (pytest.approx(1 / 7), pytest.approx(6 / 7))


def test_a_good_mesh_meets_no_objection():
    assert BOUNDS.objection(GOOD) is None
    # Bounds are included.
    at_bounds = Figures(faces=1000, lost=0.5, boundary=0.3, non_manifold=0.1, parts=5, watertight=False)
    assert BOUNDS.objection(at_bounds) is None
    assert BOUNDS.objection(replace(at_bounds, faces=10)) is None


@pytest.mark.parametrize(
    ("change", "reason", "problem"),
    [
        ({"faces": 9}, "too few faces", "9 faces on the grid, and min_faces is 10"),
        ({"faces": 1001}, "too many faces", "1001 faces on the grid, and max_faces is 1000"),
        ({"lost": 0.501}, "collapsed on the grid", "0.501 of its faces, and lost is 0.5"),
        ({"boundary": 0.301}, "too open", "0.301 of its edges, and boundary is 0.3"),
        ({"non_manifold": 0.101}, "too many non-manifold edges", "0.101 of its edges, and non_manifold is 0.1"),
        ({"parts": 6}, "too many parts", "6 parts, and parts is 5"),
    ],
)
def test_each_bound_objects(change, reason, problem):
    assert BOUNDS.objection(replace(GOOD, **change)) == (reason, problem)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"min_faces": 0}, "1 <= min_faces <= max_faces, got 0 and 8000"),
        ({"min_faces": 9, "max_faces": 8}, "got 9 and 8"),
        ({"lost": 1.1}, r"lost: expected a share in \[0, 1\], got 1.1"),
        ({"boundary": float("nan")}, "boundary: expected a share"),
        ({"non_manifold": -0.1}, "non_manifold: expected a share"),
        ({"parts": 0}, "parts: expected at least 1, got 0"),
    ],
)
def test_bounds_that_no_mesh_meets(bounds, message):
    with pytest.raises(MeshError, match=message):
        Quality(**bounds)
