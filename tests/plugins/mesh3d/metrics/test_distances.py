"""Distances of meshes from references."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.comparison import Comparison
from prefalign_mesh3d.metrics.distances import MeshDistances
from prefalign_mesh3d.metrics.functional.fidelity import Cloud, fidelity, fidelity_names
from prefalign_mesh3d.metrics.placement import Placement

PLATE = Mesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]])
EMPTY = Mesh(PLATE.vertices, np.zeros((0, 3)))
FLAT = Mesh(PLATE.vertices, [[0, 1, 1]])


def lifted(mesh, height):
    return Mesh(mesh.vertices + np.array([0, 0, height]), mesh.faces)


def test_figures_by_hand():
    """Two points against one, which stands 0.015 above the first and has the opposite normal."""
    generated = Cloud(np.array([[0, 0, 0], [0.3, 0, 0]]), np.array([[0, 0, 1], [1, 0, 0]], float))
    reference = Cloud(np.array([[0, 0, 0.015]]), np.array([[0, 0, -1.0]]))
    far = math.hypot(0.3, 0.015)
    found = fidelity(generated, reference)
    assert found == pytest.approx(
        {
            "chamfer_l1_sum": (0.015 + far) / 2 + 0.015,
            "chamfer_l1_mean": ((0.015 + far) / 2 + 0.015) / 2,
            "chamfer_l2_sum": (0.015**2 + far**2) / 2 + 0.015**2,
            "chamfer_l2_mean": ((0.015**2 + far**2) / 2 + 0.015**2) / 2,
            "hausdorff": far,
            "hausdorff_90": 0.015 + 0.9 * (far - 0.015),
            "hausdorff_95": 0.015 + 0.95 * (far - 0.015),
            "f_score_0.01": 0,
            "f_score_0.02": 2 / 3,
            "f_score_0.05": 2 / 3,
            "normal_consistency": (1 / 2 + 1) / 2,
        }
    )
    assert tuple(found) == fidelity_names()


def test_parallel_plates():
    """Plates 0.25 apart, in one frame: no point is nearer, and edges are in reach of most points."""
    metric = MeshDistances(Comparison(Placement("none"), samples=4000))
    metric.update([lifted(PLATE, 0.25)], [PLATE])
    found = metric.compute()
    assert found["chamfer_l1_mean/none/n4000"] == pytest.approx(0.25, abs=0.001)
    assert found["chamfer_l2_sum/none/n4000"] == pytest.approx(2 * 0.25**2, abs=0.001)
    assert found["normal_consistency/none/n4000"] == 1
    assert found["f_score_0.05/none/n4000"] == 0
    assert found["valid"] == found["meshes"] == 1


def test_the_frame_decides_what_is_forgiven():
    twice = Mesh(lifted(PLATE, 3).vertices * 2, PLATE.faces)
    values = {}
    for frame in ("each", "reference"):
        metric = MeshDistances(Comparison(Placement(frame=frame)))
        metric.update([twice], [PLATE])
        values[frame] = metric.compute()[f"chamfer_l1_sum/{metric.comparison.label}"]
    # Two draws of 1,024 points from one plate of 1.9 by 1.9 are about 0.03 apart each way.
    assert values["each"] < 0.08
    assert values["reference"] > 5


def test_means_and_validity():
    metric = MeshDistances(Comparison(Placement("none"), samples=256))
    metric.update([PLATE, EMPTY, FLAT, lifted(PLATE, 1)], [PLATE] * 4)
    alone = [metric.comparison.figures(mesh, PLATE)["hausdorff"] for mesh in (PLATE, lifted(PLATE, 1))]
    found = metric.compute()
    assert found["hausdorff/none/n256"] == pytest.approx(sum(alone) / 2)
    assert (found["valid"], found["meshes"]) == (0.5, 4)


def test_equal_surfaces_are_not_at_zero():
    """Mesh and reference have points of their own: with the same ones a copy would look perfect, and nothing else."""
    assert Comparison().figures(PLATE, PLATE)["chamfer_l1_sum"] > 0.01


@settings(max_examples=15, deadline=None)
@given(st.floats(0.01, 100), st.integers(-5, 5), st.integers(0, 99))
def test_size_and_place_decide_nothing(scale, shift, seed):
    """With a frame for each, a mesh that is moved and scaled has the same figures, and so has one of another order."""
    points = np.random.default_rng(seed).normal(size=(5, 3))
    mesh = Mesh(points, [[0, 1, 2], [2, 3, 4]])
    for name in ("side_1.9", "side_2", "sphere"):
        metric = Comparison(Placement(name), samples=64)
        expected = metric.figures(mesh, PLATE)
        assert metric.figures(Mesh(points * scale + shift, mesh.faces), PLATE) == pytest.approx(expected, rel=1e-3)


def test_distance_grows_with_the_lift():
    how = Comparison(Placement("none"), samples=256)
    values = [how.figures(lifted(PLATE, height), PLATE)["chamfer_l1_sum"] for height in (0, 0.1, 0.3, 1, 3)]
    assert values == sorted(values)


def test_references_must_be_there_and_have_area():
    with pytest.raises(PrefalignError, match="a reference for each of 2 meshes, got 1"):
        MeshDistances().update([PLATE, PLATE], [PLATE])
    with pytest.raises(PrefalignError, match="reference 1: no points can be drawn"):
        MeshDistances().update([PLATE, PLATE], [PLATE, FLAT])


def test_settings():
    how = Comparison(Placement("sphere", "reference"), samples=7, seed=2, taus=(0.1,))
    named = {"placement": "sphere", "frame": "reference"}
    assert how.settings() == {**named, "samples": 7, "seed": 2, "taus": [0.1], "to": "points"}
    assert how.label == "sphere-reference/n7"
    for wrong in ({"samples": 0}, {"seed": -1}, {"taus": (0.1, 0)}, {"to": "edges"}):
        with pytest.raises(PrefalignError, match=r"expected|unknown to"):
            Comparison(**wrong)


@pytest.mark.oracle
def test_against_open3d():
    """Open3D's metrics of the same points. Those that it has for meshes measure to the surface: `test_surface`."""
    open3d = pytest.importorskip("open3d", exc_type=ImportError)
    random = np.random.default_rng(0)
    clouds = [Cloud(random.normal(size=(count, 3)) * 0.05, np.zeros((count, 3))) for count in (300, 200)]
    theirs = [open3d.t.geometry.PointCloud(open3d.core.Tensor(cloud.points.astype(np.float32))) for cloud in clouds]
    kinds = open3d.t.geometry.Metric
    wanted = [kinds.ChamferDistance, kinds.HausdorffDistance, kinds.FScore]
    settings = open3d.t.geometry.MetricParameters(fscore_radius=[0.01, 0.02, 0.05])
    chamfer, hausdorff, *scores = theirs[0].compute_metrics(theirs[1], wanted, settings).numpy().tolist()
    ours = fidelity(*clouds)
    assert ours["chamfer_l1_sum"] == pytest.approx(chamfer, rel=1e-5)
    assert ours["hausdorff"] == pytest.approx(hausdorff, rel=1e-5)
    assert [100 * ours[f"f_score_{tau}"] for tau in (0.01, 0.02, 0.05)] == pytest.approx(scores, rel=1e-5)
    assert 1 < min(scores) < 50
