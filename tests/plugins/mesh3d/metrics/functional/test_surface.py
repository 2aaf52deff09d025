"""Exact distances from a surface."""

import builtins

import numpy as np
import pytest
import trimesh

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.comparison import Comparison
from prefalign_mesh3d.metrics.functional.surface import surface_distances
from prefalign_mesh3d.metrics.placement import Placement


def plain(shape):
    return Mesh(shape.vertices, shape.faces)


@pytest.mark.oracle
def test_distances_by_hand():
    """From a unit cube: above a side, off an edge, off a corner, at the centre, and on the surface."""
    pytest.importorskip("open3d", exc_type=ImportError)
    points = np.array([[0.1, 0.2, 2], [0, 1.5, 1.5], [1.5, 1.5, 1.5], [0, 0, 0], [0.5, 0.1, 0.3]])
    distances, faces = surface_distances(points, plain(trimesh.creation.box()))
    np.testing.assert_allclose(distances, [1.5, 2**0.5, 3**0.5, 0.5, 0], atol=1e-6)
    np.testing.assert_array_equal(trimesh.creation.box().face_normals[faces[[0, 4]]], [[0, 0, 1], [1, 0, 0]])


@pytest.mark.oracle
def test_a_copy_is_at_no_distance():
    """Point to point it is at about the spacing of the points; and small taus depend on their number."""
    pytest.importorskip("open3d", exc_type=ImportError)
    sphere, box = plain(trimesh.creation.icosphere(3)), plain(trimesh.creation.box(extents=(1.5, 1.5, 1.5)))
    exact = Comparison(Placement("none"), to="surface")
    assert exact.label == "none/n1024/surface"
    itself = exact.figures(sphere, sphere)
    assert itself["chamfer_l1_sum"] < 1e-5
    assert itself["f_score_0.01"] == 1
    assert itself["normal_consistency"] > 0.999
    assert Comparison(Placement("none")).figures(sphere, sphere)["chamfer_l1_sum"] > 0.05
    few, many = (Comparison(Placement("none"), samples=count, to="surface") for count in (1024, 20_000))
    scores = [how.figures(sphere, box)["f_score_0.02"] for how in (few, many)]
    assert scores[0] == pytest.approx(scores[1], abs=0.03)
    assert Comparison(Placement("none")).figures(sphere, box)["f_score_0.02"] < scores[0] / 4


@pytest.mark.oracle
def test_against_the_metrics_of_open3d():
    """Those of its meshes measure to surfaces, from points of their own draw."""
    open3d = pytest.importorskip("open3d", exc_type=ImportError)
    shapes = trimesh.creation.icosphere(3), trimesh.creation.box(extents=(1.5, 1.5, 1.5))
    theirs = [
        open3d.t.geometry.TriangleMesh(
            open3d.core.Tensor(np.asarray(shape.vertices, np.float32)),
            open3d.core.Tensor(np.asarray(shape.faces, np.int32)),
        )
        for shape in shapes
    ]
    kinds = open3d.t.geometry.Metric
    wanted = [kinds.ChamferDistance, kinds.HausdorffDistance, kinds.FScore]
    settings = open3d.t.geometry.MetricParameters(fscore_radius=[0.02, 0.05], n_sampled_points=20_000)
    expected = theirs[0].compute_metrics(theirs[1], wanted, settings).numpy()
    ours = Comparison(Placement("none"), samples=20_000, to="surface").figures(*map(plain, shapes))
    assert ours["chamfer_l1_sum"] == pytest.approx(expected[0], rel=0.01)
    assert ours["hausdorff"] == pytest.approx(expected[1], rel=0.05)
    assert [100 * ours["f_score_0.02"], 100 * ours["f_score_0.05"]] == pytest.approx(expected[2:].tolist(), abs=1)


def test_without_open3d(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **more):
        if name == "open3d":
            raise ModuleNotFoundError("No module named 'open3d'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MeshError, match=r'pip install "prefalign-mesh3d\[open3d\]"'):
        surface_distances(np.zeros((1, 3)), Mesh(np.eye(3), [[0, 1, 2]]))


@pytest.mark.oracle
def test_nothing_is_near_no_faces():
    pytest.importorskip("open3d", exc_type=ImportError)
    with pytest.raises(MeshError, match="no faces"):
        surface_distances(np.zeros((1, 3)), Mesh(np.eye(3), np.zeros((0, 3))))
