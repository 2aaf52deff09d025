"""The grid and the canonical order, by hand and against plain rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign_mesh3d.mesh import grid as module
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import (
    canonical,
    cell_keys,
    cells_of,
    dequantise,
    face_keys,
    frame_of,
    from_cells,
    is_canonical,
    quantise,
    rotated,
    sorted_rows,
    to_cells,
    used_vertices,
)
from prefalign_mesh3d.mesh.mesh import MAX_LEVELS, GridMesh, Mesh

TRIANGLE = [(0, 1, 2)]


def test_a_frame_by_hand():
    """A box from (1, 2, 3) to (5, 4, 3): centre (3, 3, 3), longest side 4, which becomes 1.9 long."""
    frame = frame_of(Mesh([(1, 2, 3), (5, 4, 3), (1, 4, 3)], TRIANGLE))
    assert frame.centre == (3, 3, 3)
    assert frame.scale == pytest.approx(4 / 1.9, rel=1e-6)
    np.testing.assert_allclose(frame.place(np.array([(5, 4, 3)])), [(0.95, 0.475, 0)], rtol=1e-6)
    np.testing.assert_allclose(frame.restore(frame.place(np.array([(7.0, -2, 0.1)]))), [(7, -2, 0.1)])


def test_frames_of_a_point_and_of_far_ends():
    assert np.isfinite(frame_of(Mesh([(4, 4, 4)], np.zeros((0, 3)))).scale)
    assert np.isfinite(frame_of(Mesh([(-8e307, 0, 0), (8e307, 0, 0)], np.zeros((0, 3)))).place(np.zeros((1, 3)))).all()
    with pytest.raises(MeshError, match="too large"):
        frame_of(Mesh([(-1.7e308, 0, 0), (1.7e308, 0, 0)], np.zeros((0, 3))))
    with pytest.raises(MeshError, match="no vertices"):
        frame_of(Mesh(np.zeros((0, 3)), np.zeros((0, 3))))


def test_cells_by_hand():
    """Four cells of 0.5: centres -0.75, -0.25, 0.25, 0.75. Borders -0.5, 0, 0.5 go to the even cell."""
    points = np.array([(-1, -0.75, -0.51), (-0.49, -0.01, 0.01), (-0.5, 0, 0.5), (1, 3, -9)])
    assert to_cells(points, 4).tolist() == [[0, 0, 0], [1, 1, 2], [0, 2, 2], [3, 3, 0]]
    assert from_cells(np.array([(0, 1, 3)]), 4).tolist() == [[-0.75, -0.25, 0.75]]


@given(st.integers(2, 4096), st.lists(st.floats(-1, 1), min_size=3, max_size=3))
def test_a_cell_is_half_a_cell_away_at_most_and_keeps_its_centre(levels, point):
    cells = to_cells(np.array([point]), levels)
    centres = from_cells(cells, levels)
    assert np.abs(centres - point).max() <= 1 / levels + 1e-12
    np.testing.assert_array_equal(to_cells(centres, levels), cells)


def test_the_canonical_order_by_hand():
    """Cells, written x y z, as they come: 0 (1 0 0), 1 (0 0 1), 2 (0 0 0), 3 (1 0 0) again, 4 (3 3 3) without a face, 5
    (0 1 0). By z, y, x: (0 0 0), (1 0 0), (0 1 0), (0 0 1), so they become 1, 3, 0, 1, -, 2.

    Faces: (0 1 2) is (1 3 0), begun at its smallest (0 1 3). (5 3 2) is (2 1 0): (0 2 1). (3 2 1) is (1 0 3): (0 3 1),
    the first face turned round, so it goes. (0 3 5) has two equal corners. By sorted corners 0 1 2 comes before 0 1 3.
    """
    cells = np.array([(1, 0, 0), (0, 0, 1), (0, 0, 0), (1, 0, 0), (3, 3, 3), (0, 1, 0)])
    grid = canonical(cells, np.array([(0, 1, 2), (5, 3, 2), (3, 2, 1), (0, 3, 5)]), 4)
    assert grid.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert grid.faces.tolist() == [[0, 2, 1], [0, 1, 3]]
    assert grid.levels == 4


def plain_canonical(cells, faces):
    """The same with sets and sorted lists: {sorted corners: rotated face}, the ascending one of two that turn."""
    found = {}
    for face in faces:
        corners = [tuple(reversed(cells[corner])) for corner in face]
        if len(set(corners)) == 3:
            at = corners.index(min(corners))
            turned = (corners[at], corners[at - 2], corners[at - 1])
            key = tuple(sorted(corners))
            found[key] = min(found.get(key, turned), turned)
    return [face for _, face in sorted(found.items())]


@given(
    st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=3, max_size=8),
    st.lists(st.tuples(*[st.integers(0, 7)] * 3), max_size=30),
    st.randoms(use_true_random=False),
)
@settings(max_examples=200, deadline=None)
def test_equal_meshes_have_one_form(cells, faces, random):
    """Against the plain rule; and neither the order of vertices, nor of faces, nor of corners changes anything."""
    faces = [tuple(corner % len(cells) for corner in face) for face in faces]
    grid = canonical(np.array(cells), np.array(faces).reshape(-1, 3), 3)
    corners = [[tuple(reversed(grid.vertices[corner].tolist())) for corner in face] for face in grid.faces]
    assert [tuple(face) for face in corners] == plain_canonical(cells, faces)
    assert set(grid.faces.ravel().tolist()) == set(range(len(grid.vertices)))
    order = random.sample(range(len(cells)), len(cells))
    shuffled = [[order.index(corner) for corner in random.choice([f, f[1:] + f[:1], f[2:] + f[:2]])] for f in faces]
    random.shuffle(shuffled)
    again = canonical(np.array([cells[old] for old in order]), np.array(shuffled).reshape(-1, 3), 3)
    np.testing.assert_array_equal(again.vertices, grid.vertices)
    np.testing.assert_array_equal(again.faces, grid.faces)
    np.testing.assert_array_equal(canonical(grid.vertices, grid.faces, 3).faces, grid.faces)


@pytest.mark.parametrize(
    ("vertices", "faces"),
    [
        ([0, 1, 2, 3], [(0, 1, 2), (0, 1, 3), (1, 3, 2)]),
        ([0, 2, 1, 3], [(0, 1, 2), (0, 1, 3), (1, 3, 2)]),
        ([0, 1, 1, 3], [(0, 1, 2), (0, 1, 3), (1, 3, 2)]),
        ([0, 1, 2, 3], [(0, 1, 2), (1, 3, 2), (0, 1, 3)]),
        ([0, 1, 2, 3], [(0, 1, 3), (0, 1, 2), (1, 3, 2)]),
        ([0, 1, 2, 3], [(0, 2, 3), (0, 1, 3)]),
        ([0, 1, 2, 3], [(0, 1, 2), (0, 1, 2), (1, 3, 2)]),
        ([0, 1, 2, 3], [(0, 1, 2), (0, 2, 1), (1, 3, 2)]),
        ([0, 1, 2, 3], [(1, 2, 0), (0, 1, 3), (1, 3, 2)]),
        ([0, 1, 2, 3], [(0, 1, 2), (0, 3, 3)]),
        ([0, 1, 2, 3], [(0, 0, 1), (1, 3, 2)]),
        ([0, 1, 2, 3], [(0, 1, 2)]),
    ],
)
def test_only_the_first_of_these_is_in_canonical_order(vertices, faces):
    """Vertices out of order or equal, faces out of order, repeated, turned, begun elsewhere, degenerate; one unused."""
    grid = GridMesh([(x, 0, 0) for x in vertices], faces, 4)
    assert is_canonical(grid) == (vertices == [0, 1, 2, 3] and faces == [(0, 1, 2), (0, 1, 3), (1, 3, 2)])
    again = canonical(grid.vertices, grid.faces, 4)
    assert not len(again.faces) or is_canonical(again)


def test_more_vertices_than_fit_one_integer_are_ordered_alike():
    """Above a million vertices three indices and a bit do not fit 63 bits: another sort, the same order."""
    generator = np.random.default_rng(0)
    faces = generator.integers(0, 12, (500, 3))
    np.testing.assert_array_equal(module._ordered(faces, 1 << 22), module._ordered(faces, 12))
    np.testing.assert_array_equal(sorted_rows(faces, 1 << 22), sorted_rows(faces, 12))
    np.testing.assert_array_equal(sorted_rows(faces, 12), np.lexsort(faces.T[::-1]))


def test_most_levels():
    """Keys of 60 bits, sorted without their order beside them."""
    cells = np.array([(MAX_LEVELS - 1,) * 3, (0, 0, 0), (MAX_LEVELS - 1, 0, 0)])
    grid = canonical(cells, np.array(TRIANGLE), MAX_LEVELS)
    assert grid.vertices.tolist() == [[0, 0, 0], [MAX_LEVELS - 1, 0, 0], [MAX_LEVELS - 1] * 3]
    for levels in (1, MAX_LEVELS + 1):
        with pytest.raises(MeshError, match="between 2 and"):
            canonical(np.zeros((3, 3), int), np.array(TRIANGLE), levels)


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=20))
def test_keys_ascend_as_cells_do_and_come_back(cells):
    keys = cell_keys(np.array(cells), 7)
    assert cells_of(keys, 7).tolist() == [list(cell) for cell in cells]
    assert [cells[at] for at in np.argsort(keys, kind="stable")] == sorted(cells, key=lambda cell: cell[::-1])


def test_quantised_meshes_come_back_within_half_a_cell():
    generator = np.random.default_rng(1)
    mesh = Mesh(generator.normal(size=(50, 3)), np.arange(48).reshape(-1, 3))
    frame = frame_of(mesh)
    back = dequantise(quantise(mesh, 4096))
    placed = frame.place(mesh.vertices)[mesh.faces].reshape(-1, 3)
    nearest = np.abs(placed[:, None] - back.vertices[None]).max(2).min(1)
    assert nearest.max() <= 1 / 4096 + 1e-12
    # Another frame places it elsewhere.
    assert quantise(mesh, 64, frame_of(Mesh(mesh.vertices * 3, mesh.faces))).vertices.max() < 48


def test_faces_are_compared_as_sets():
    cells = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
    one = GridMesh(cells, [(0, 1, 2), (1, 2, 3)], 4)
    same = GridMesh(cells[::-1], [(2, 1, 0), (1, 3, 2)], 4)
    turned = GridMesh(cells, [(0, 2, 1), (1, 2, 3)], 4)
    np.testing.assert_array_equal(face_keys(one), face_keys(same))
    np.testing.assert_array_equal(face_keys(one, winding=False), face_keys(turned, winding=False))
    assert (face_keys(one) != face_keys(turned)).any()


def test_rotation_keeps_the_sense():
    assert rotated(np.array([(2, 0, 1), (1, 2, 0), (0, 2, 1)])).tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 1]]
    assert rotated(np.zeros((0, 3), int)).shape == (0, 3)


def test_used_vertices():
    used, faces = used_vertices(np.array([(4, 1, 2)]), 6)
    assert used.tolist() == [1, 2, 4]
    assert faces.tolist() == [[2, 0, 1]]


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        ([(0, 0)], [], "expected vertices of shape"),
        ([(0, 0, np.nan)], [], "vertex 0 has a coordinate that is not finite"),
        ([(0, 0, 0)], [(0, 0, 1)], "indices in \\[0, 1\\)"),
        ([(0, 0, 0)], [(0, 0, -1)], "indices in"),
        ([(0, 0, 0)] * 4, [(0, 1, 2, 3)], "quads are triangulated"),
    ],
)
def test_meshes_that_are_none_are_refused(vertices, faces, message):
    with pytest.raises(MeshError, match=message):
        Mesh(vertices, faces)


def test_cells_outside_the_grid_are_refused():
    for bad in (-1, 4):
        with pytest.raises(MeshError, match="cells in"):
            GridMesh([(0, 0, bad)], [], 4)
