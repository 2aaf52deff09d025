"""What edges tell, by hand and against trimesh."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.functional.edges import (
    boundary_edge_ratio,
    distinct_faces,
    edges_of,
    is_watertight,
    neighbours_of,
    non_manifold_edge_ratio,
    winding_ratio,
)


def flat(faces):
    """A mesh of these faces; where the vertices are matters to no edge."""
    faces = np.array(faces)
    return Mesh(np.arange(3.0 * (faces.max() + 1)).reshape(-1, 3), faces)


def test_a_cube_has_18_edges_of_two_faces(cube):
    edges = edges_of(cube)
    assert len(edges.vertices) == 18
    assert (edges.faces == 2).all()
    assert (edges.rising == 1).all()
    assert boundary_edge_ratio(edges) == non_manifold_edge_ratio(edges) == 0
    assert winding_ratio(edges) == 1
    assert is_watertight(edges)


def test_a_cube_without_a_side_has_17_edges_4_of_them_open(open_cube):
    edges = edges_of(open_cube)
    assert len(edges.vertices) == 17
    assert boundary_edge_ratio(edges) == 4 / 17
    assert not is_watertight(edges)


def test_three_pages_of_a_book():
    """Three triangles on one edge: 7 edges, one of three faces, six of one."""
    edges = edges_of(flat([[0, 1, 2], [1, 0, 3], [0, 1, 4]]))
    assert edges.vertices.tolist() == [[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [1, 3], [1, 4]]
    assert edges.faces.tolist() == [3, 1, 1, 1, 1, 1, 1]
    assert edges.rising.tolist() == [2, 0, 1, 0, 1, 0, 1]
    assert non_manifold_edge_ratio(edges) == 1 / 7
    assert boundary_edge_ratio(edges) == 6 / 7
    assert winding_ratio(edges) == 1  # no edge has exactly two faces


def test_a_flipped_face_disagrees_with_its_three_neighbours(cube):
    faces = cube.faces.copy()
    faces[5] = faces[5, ::-1]
    edges = edges_of(Mesh(cube.vertices, faces))
    assert winding_ratio(edges) == 15 / 18
    assert is_watertight(edges)


def test_closed_parts_that_share_an_edge_are_not_watertight():
    """Two tetrahedra on one edge: it has four faces, the ten others two."""
    one = [[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]]
    other = [[0, 1, 4], [0, 5, 1], [0, 4, 5], [1, 5, 4]]
    edges = edges_of(flat(one + other))
    assert sorted(edges.faces) == [2] * 10 + [4]
    assert boundary_edge_ratio(edges) == 0
    assert not is_watertight(edges)


def test_repeated_and_collapsed_faces_close_no_hole(open_cube):
    """A sheet laid twice, once either way round, has every edge twice and would count as closed."""
    faces = np.concatenate([open_cube.faces, open_cube.faces[:, ::-1], [[0, 0, 1], [2, 3, 3]]])
    edges = edges_of(Mesh(open_cube.vertices, faces))
    assert boundary_edge_ratio(edges) == 4 / 17
    np.testing.assert_array_equal(distinct_faces(Mesh(open_cube.vertices, faces)), np.arange(10))
    assert len(distinct_faces(flat([[0, 1, 1]]))) == 0


def test_no_faces_no_edges():
    for faces in (np.zeros((0, 3), int), np.array([[0, 1, 1]])):
        with pytest.raises(MeshError, match=f"none of its {len(faces)} faces"):
            edges_of(Mesh(np.zeros((2, 3)), faces))


def test_neighbours_by_hand():
    """Two triangles that share 1-2, a third page on 3-1, and a repeat that counts for nothing."""
    found = neighbours_of(flat([[0, 1, 2], [2, 0, 1], [3, 2, 1], [4, 1, 3]]))
    assert found.vertices.tolist() == [[1, 2], [1, 3]]
    assert found.faces.tolist() == [[0, 2], [2, 3]]
    assert found.opposite.tolist() == [[0, 3], [2, 4]]
    assert len(neighbours_of(Mesh(np.zeros((3, 3)), np.zeros((0, 3)))).faces) == 0


def test_neighbours_leave_edges_of_three_faces_out():
    assert len(neighbours_of(flat([[0, 1, 2], [1, 0, 3], [0, 1, 4]])).faces) == 0


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3, unique=True), min_size=1, max_size=14),
    st.randoms(use_true_random=False),
)
def test_against_trimesh_and_blind_to_order(faces, random):
    mesh = flat(np.unique(np.sort(faces, 1), axis=0)[:, [0, 2, 1]])
    edges = edges_of(mesh)
    theirs = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    unique, counts = np.unique(theirs.edges_sorted, axis=0, return_counts=True)
    np.testing.assert_array_equal(edges.vertices, unique)
    np.testing.assert_array_equal(edges.faces, counts)
    assert is_watertight(edges) == theirs.is_watertight
    assert (winding_ratio(edges) == 1) == theirs.is_winding_consistent
    # Another order of the faces, other first corners, other names of the vertices: the same figures.
    names = np.array(random.sample(range(len(mesh.vertices)), len(mesh.vertices)))
    shuffled = np.roll(names[mesh.faces][random.sample(range(len(mesh.faces)), len(mesh.faces))], 1, axis=1)
    again = edges_of(Mesh(mesh.vertices, shuffled))
    for figure in (boundary_edge_ratio, non_manifold_edge_ratio, winding_ratio):
        assert figure(again) == figure(edges)
