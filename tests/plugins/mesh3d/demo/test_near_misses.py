"""Near misses: wrong around one vertex, right everywhere else, and never the mesh itself."""

import numpy as np
import pytest

from prefalign_mesh3d.demo import near_misses
from prefalign_mesh3d.demo.near_misses import near_miss
from prefalign_mesh3d.demo.shapes import LEVELS, draw_shapes
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import canonical, face_keys, is_canonical, quantise
from prefalign_mesh3d.mesh.mesh import GridMesh

GRIDS = [quantise(shape, LEVELS) for shape in draw_shapes(4, 0)]


def corners(grid):
    """The faces by their corners' cells, each from its smallest corner on."""
    rows = (tuple(map(tuple, grid.vertices[face].tolist())) for face in grid.faces)
    return {min(row[i:] + row[:i] for i in range(3)) for row in rows}


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("grid", GRIDS, ids=range(4))
def test_only_faces_around_one_vertex_change(grid, seed):
    missed = near_miss(grid, seed)
    before, after = corners(grid), corners(missed)
    lost, new = before - after, after - before
    assert lost
    shared = set.intersection(*(set(face) for face in lost))
    assert shared
    assert is_canonical(missed)
    assert missed.levels == grid.levels
    if not new:
        # Taken out, or closed up because the vertex came to lie on a neighbour.
        assert len(lost) <= 2
    else:
        # Every face of the vertex moved with it, by one or two cells along one axis.
        moved = set.intersection(*(set(face) for face in new))
        steps = [np.abs(np.subtract(a, b)) for a in shared for b in moved]
        assert any(np.count_nonzero(step) == 1 and step.max() <= 2 for step in steps)


def test_faces_are_taken_out_as_often_as_vertices_are_moved():
    taken = [len(near_miss(GRIDS[0], seed).faces) == len(GRIDS[0].faces) - 2 for seed in range(100)]
    # Five standard deviations; a moved vertex that meets a neighbour takes two faces with it too.
    assert 30 <= sum(taken) <= 75


def test_equal_seeds_miss_alike():
    keys = [face_keys(near_miss(GRIDS[0], seed)).tobytes() for seed in (0, 0, *range(1, 12))]
    assert keys[0] == keys[1]
    assert len(set(keys)) > 6


def test_the_original_is_not_touched():
    grid = GRIDS[1]
    vertices, faces = grid.vertices.copy(), grid.faces.copy()
    for seed in range(10):
        near_miss(grid, seed)
    np.testing.assert_array_equal(grid.vertices, vertices)
    np.testing.assert_array_equal(grid.faces, faces)


@pytest.mark.parametrize("seed", range(30))
def test_a_triangle_on_two_levels_is_changed_or_refused_but_never_returned(seed):
    grid = canonical(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]), 2)
    missed = near_miss(grid, seed)
    assert len(missed.faces) == 1
    assert corners(missed) != corners(grid)


def test_a_mesh_without_faces_is_refused():
    empty = GridMesh(np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64), 16)
    with pytest.raises(MeshError, match="without faces"):
        near_miss(empty, 0)


def test_tries_are_bounded(monkeypatch):
    monkeypatch.setattr(near_misses, "canonical", lambda cells, faces, levels: GRIDS[0])
    with pytest.raises(MeshError, match="in 100 tries; give a mesh with three faces"):
        near_miss(GRIDS[0], 0)
