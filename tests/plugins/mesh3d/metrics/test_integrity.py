"""Figures without a reference, of one mesh and of many."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import trimesh

from prefalign_mesh3d.mesh.files import read_mesh
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.welding import welded
from prefalign_mesh3d.metrics.functional import sweep
from prefalign_mesh3d.metrics.functional.edges import distinct_faces
from prefalign_mesh3d.metrics.functional.integrity import integrity
from prefalign_mesh3d.metrics.integrity import MeshIntegrity


def test_a_cube(cube):
    """Six diagonals meet in two of its corners: these have 6 edges, the others 4 (18 edges in all)."""
    found = asdict(integrity(cube))
    assert found == pytest.approx(
        {
            "faces": 12,
            "watertight": 1,
            "boundary_edge_ratio": 0,
            "non_manifold_edge_ratio": 0,
            "non_manifold_vertex_ratio": 0,
            "winding_ratio": 1,
            "components": 1,
            "euler_number": 2,
            "degenerate_ratio": 0,
            "sliver_ratio": 0,
            "smallest_angle_degrees": 45,
            "valence_regularity": 2 / 8,
            "quad_valence_regularity": 0,
            "quad_ratio": 1,
            "quad_angle": 1,
            "quad_aspect": 1,
            "quad_consistency": 1,
            "topology_score": 100,
            "self_intersections": 0,
            "self_intersecting_ratio": 0,
        }
    )


def test_many(cube, open_cube):
    """Three meshes, of which the empty one has no part in the means."""
    empty = Mesh(cube.vertices, np.zeros((0, 3)))
    metric = MeshIntegrity()
    metric.update([cube, empty])
    metric.update([open_cube])
    found = metric.compute()
    assert found["watertight"] == 0.5
    assert found["boundary_edge_ratio"] == pytest.approx(2 / 17)
    assert found["faces"] == 11
    assert found["topology_score/prefalign-1"] == pytest.approx(100)
    assert found["valid"] == pytest.approx(2 / 3)
    assert found["meshes"] == 3


def test_figures_that_a_mesh_has_not(cube):
    """A triangle has no inner vertex; its share in the mean of valences is none, in the others it counts."""
    metric = MeshIntegrity()
    metric.update([Mesh(np.eye(3), [[0, 1, 2]]), Mesh(*_sphere())])
    found = metric.compute()
    assert found["valence_regularity"] == pytest.approx(30 / 42)
    assert found["watertight"] == 0.5
    assert found["valid"] == 1


def _sphere():
    shape = trimesh.creation.icosphere(1)
    return shape.vertices, shape.faces


def test_crossing_can_be_left_out(cube):
    metric = MeshIntegrity(crossing=False)
    metric.update([cube])
    assert not [name for name in metric.compute() if name.startswith("self_")]
    assert np.isnan(integrity(cube, crossing=False).self_intersections)


def test_a_heap_has_all_figures_but_one(cube, monkeypatch):
    monkeypatch.setattr(sweep, "MOST_CANDIDATES", 5)
    found = integrity(cube)
    assert np.isnan(found.self_intersections)
    assert np.isnan(found.self_intersecting_ratio)
    assert found.watertight == 1


SHARED = Path(__file__).parents[4].parent / "shared" / "data" / "mesh3d"


@pytest.mark.oracle
@pytest.mark.skipif(not SHARED.is_dir(), reason="the public meshes are not there")
@pytest.mark.parametrize("name", [file.name for file in sorted(SHARED.glob("*"))] if SHARED.is_dir() else [])
def test_public_meshes_against_trimesh(name):
    """Watertight, winding, components and Euler number; and open edges, where the reference tells the share."""
    mesh = welded(read_mesh(SHARED / name))
    mesh = Mesh(mesh.vertices, mesh.faces[distinct_faces(mesh)])
    found, theirs = integrity(mesh, crossing=False), trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert bool(found.watertight) == theirs.is_watertight
    assert (found.winding_ratio == 1) == theirs.is_winding_consistent
    assert found.components == theirs.body_count
    assert found.euler_number == theirs.euler_number
    known = {"suzanne.ply": 0.0285, "monkey.glb": 0.0285, "teapot.stl": 0.0466, "bunny.ply": 0.0088}
    if name in known:
        assert found.boundary_edge_ratio == pytest.approx(known[name], abs=5e-5)


@pytest.mark.oracle
def test_against_open3d(cube, open_cube):
    """Its watertight meshes are edge- and vertex-manifold, closed, and do not cross themselves."""
    open3d = pytest.importorskip("open3d", exc_type=ImportError)
    crossed = trimesh.util.concatenate([trimesh.creation.icosphere(1), trimesh.creation.icosphere(1)])
    crossed.vertices[42:] += 0.9
    for mesh in (cube, open_cube, Mesh(*_sphere()), Mesh(crossed.vertices, crossed.faces)):
        vertices = open3d.utility.Vector3dVector(mesh.vertices)
        theirs = open3d.geometry.TriangleMesh(vertices, open3d.utility.Vector3iVector(mesh.faces.astype(np.int32)))
        found = integrity(mesh)
        assert bool(found.watertight and not found.self_intersections) == theirs.is_watertight()
        assert bool(found.self_intersections) == theirs.is_self_intersecting()
        assert (found.non_manifold_vertex_ratio == 0) == theirs.is_vertex_manifold()
        assert (found.non_manifold_edge_ratio == 0) == theirs.is_edge_manifold(allow_boundary_edges=True)
        assert found.euler_number == theirs.euler_poincare_characteristic()
