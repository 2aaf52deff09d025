"""Components, Euler number, valences: by hand and against trimesh."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.functional.edges import edges_of
from prefalign_mesh3d.metrics.functional.quads import quads
from prefalign_mesh3d.metrics.functional.topology import (
    components,
    euler_number,
    non_manifold_vertex_ratio,
    valence_regularity,
)


def plain(shape):
    return Mesh(shape.vertices, shape.faces)


@pytest.mark.parametrize(
    ("shape", "parts", "euler"),
    [
        (trimesh.creation.box(), 1, 2),
        (trimesh.creation.torus(2, 0.5, major_sections=9, minor_sections=6), 1, 0),
        (trimesh.util.concatenate([trimesh.creation.box(), trimesh.creation.icosphere(1)]), 2, 4),
        (trimesh.Trimesh(np.eye(3), [[0, 1, 2]]), 1, 1),
    ],
    ids=["box", "torus", "two", "triangle"],
)
def test_by_theory_and_trimesh(shape, parts, euler):
    edges = edges_of(plain(shape))
    assert components(edges) == shape.body_count == parts
    assert euler_number(plain(shape), edges) == shape.euler_number == euler


def test_vertices_without_a_face_and_repeats_count_for_nothing(cube):
    padded = Mesh(np.concatenate([cube.vertices, np.ones((5, 3))]), np.concatenate([cube.faces, cube.faces[:3, ::-1]]))
    edges = edges_of(padded)
    assert euler_number(padded, edges) == 2
    assert components(edges) == 1


def test_parts_that_touch_in_a_vertex_are_one():
    assert components(edges_of(Mesh(np.zeros((5, 3)), [[0, 1, 2], [2, 3, 4]]))) == 1
    assert components(edges_of(Mesh(np.zeros((6, 3)), [[0, 1, 2], [5, 3, 4]]))) == 2


def test_fans():
    """Two triangles on one vertex are two fans there; three pages of a book are one at each end of the spine."""
    assert non_manifold_vertex_ratio(Mesh(np.zeros((5, 3)), [[0, 1, 2], [2, 3, 4]])) == 1 / 5
    assert non_manifold_vertex_ratio(Mesh(np.zeros((5, 3)), [[0, 1, 2], [1, 0, 3], [0, 1, 4]])) == 0
    assert non_manifold_vertex_ratio(Mesh(np.zeros((9, 3)), [[0, 1, 2], [2, 1, 3], [8, 8, 2]])) == 0
    with pytest.raises(MeshError, match="none of its 1 faces"):
        non_manifold_vertex_ratio(Mesh(np.zeros((2, 3)), [[0, 1, 1]]))


@pytest.mark.oracle
@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3, unique=True), min_size=1, max_size=9))
def test_fans_against_open3d(faces):
    open3d = pytest.importorskip("open3d", exc_type=ImportError)
    distinct = np.unique(np.sort(faces, 1), axis=0)
    mesh = Mesh(np.arange(21.0).reshape(7, 3), distinct)
    shape = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(mesh.vertices), open3d.utility.Vector3iVector(distinct.astype(np.int32))
    )
    expected = len(shape.get_non_manifold_vertices()) / len(np.unique(distinct))
    assert non_manifold_vertex_ratio(mesh) == expected


def test_valences():
    """A torus of quads is regular both ways. An icosphere has 12 vertices of 5; after one subdivision 30 of 6."""
    torus = plain(trimesh.creation.torus(2, 0.7, major_sections=24, minor_sections=12))
    edges, merged = edges_of(torus), quads(torus)
    assert 2 * len(merged.pairs) == len(torus.faces)
    assert valence_regularity(edges) == valence_regularity(edges, merged) == 1
    assert valence_regularity(edges_of(plain(trimesh.creation.icosphere(0)))) == 0
    assert valence_regularity(edges_of(plain(trimesh.creation.icosphere(1)))) == 30 / 42


def test_valences_of_quads(cube):
    """Each corner of a cube has three quads."""
    assert valence_regularity(edges_of(cube), quads(cube)) == 0


def test_only_inner_vertices_have_a_valence():
    """A hexagon's centre has 6; the rim is open. A lone triangle has no inner vertex."""
    rim = [[np.cos(t), np.sin(t), 0] for t in np.arange(6) * np.pi / 3]
    fan = Mesh([[0, 0, 0], *rim], [[0, i + 1, (i + 1) % 6 + 1] for i in range(6)])
    assert valence_regularity(edges_of(fan)) == 1
    assert np.isnan(valence_regularity(edges_of(Mesh(np.eye(3), [[0, 1, 2]]))))


def test_quads_of_another_mesh_are_refused(cube):
    square = Mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], [[0, 1, 2], [3, 2, 1]])
    with pytest.raises(MeshError, match="no edges of this mesh"):
        valence_regularity(edges_of(Mesh(cube.vertices, cube.faces[:1])), quads(square))
