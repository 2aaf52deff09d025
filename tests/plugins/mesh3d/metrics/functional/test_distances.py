"""Distances between sets of points, against values worked out by hand and laws that they obey."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.metrics.functional.distances import (
    chamfer,
    f_score,
    hausdorff,
    nearest,
    normal_consistency,
)

#: On the x axis: 0 and 4 against 1, 4 and 10. Forward distances 1, 0; backward 1, 0, 6.
FIRST = np.array([[0, 0, 0], [4, 0, 0]], float)
SECOND = np.array([[1, 0, 0], [4, 0, 0], [10, 0, 0]], float)


def clouds(most=20):
    coordinate = st.integers(-8, 8).map(float)
    return st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=1, max_size=most).map(np.array)


def test_nearest_by_hand():
    found = nearest(FIRST, SECOND)
    np.testing.assert_array_equal(found.forward, [1, 0])
    np.testing.assert_array_equal(found.backward, [1, 0, 6])
    np.testing.assert_array_equal(found.forward_index, [0, 1])
    np.testing.assert_array_equal(found.backward_index, [0, 1, 1])


@pytest.mark.parametrize(
    ("variant", "value"),
    [
        ("l1_sum", 1 / 2 + 7 / 3),
        ("l1_mean", (1 / 2 + 7 / 3) / 2),
        ("l2_sum", 1 / 2 + 37 / 3),
        ("l2_mean", (1 / 2 + 37 / 3) / 2),
    ],
)
def test_chamfer_by_hand(variant, value):
    assert chamfer(nearest(FIRST, SECOND), variant) == pytest.approx(value, rel=1e-15)


def test_chamfer_is_the_plain_sum_by_default():
    assert chamfer(nearest(FIRST, SECOND)) == chamfer(nearest(FIRST, SECOND), "l1_sum")


def test_hausdorff_by_hand():
    """Directed maxima 1 and 6; directed medians 1/2 and 1; 90th percentiles 0.9 and 1 + 0.8 · 5."""
    found = nearest(FIRST, SECOND)
    assert hausdorff(found) == 6
    assert hausdorff(found, 50) == 1
    assert hausdorff(found, 90) == pytest.approx(5)
    assert hausdorff(nearest(SECOND, FIRST)) == 6


def test_f_score_by_hand():
    """Within 1.5: precision 1, recall 2/3, F 4/5. Closer than 1: 1/2 and 1/3, F 2/5."""
    found = nearest(FIRST, SECOND)
    assert f_score(found, 1.5) == pytest.approx(0.8)
    assert f_score(found, 1) == pytest.approx(0.4)
    assert f_score(nearest(FIRST, SECOND + np.array([0, 100, 0])), 1) == 0


def test_normal_consistency_by_hand():
    """|cos| 1/2 and 1 forward; backward 1/2, 1 and 0: the mean of 3/4 and 1/2."""
    first = np.array([[0, 0, 1], [0, 1, 0]], float)
    second = np.array([[0, math.sqrt(3) / 2, -0.5], [0, -1, 0], [1, 0, 0]])
    found = nearest(FIRST, SECOND)
    partners = second[found.forward_index], first[found.backward_index]
    assert normal_consistency(first, partners[0], second, partners[1]) == pytest.approx(5 / 8)


@settings(max_examples=60, deadline=None)
@given(clouds(), clouds(), st.sampled_from(["l1_sum", "l2_mean"]))
def test_laws(first, second, variant):
    """Symmetric, 0 for equal sets, blind to order, moves with the unit, and at most as large as what bounds it."""
    found = nearest(first, second)
    value = chamfer(found, variant)
    assert chamfer(nearest(second, first), variant) == pytest.approx(value)
    assert chamfer(nearest(first, first), variant) == hausdorff(nearest(first, first)) == 0
    assert chamfer(nearest(first[::-1], np.roll(second, 1, 0)), variant) == pytest.approx(value)
    scaled = nearest(first * 3 + 5, second * 3 + 5)
    assert chamfer(scaled, variant) == pytest.approx(value * (9 if variant.startswith("l2") else 3))
    assert hausdorff(scaled) == pytest.approx(3 * hausdorff(found))
    assert chamfer(found, "l1_mean") <= hausdorff(found) + 1e-12
    assert hausdorff(found, 90) <= hausdorff(found, 95) <= hausdorff(found)
    assert f_score(found, 0.5) <= f_score(found, 2) <= f_score(found, hausdorff(found) + 1) == 1


@settings(max_examples=60, deadline=None)
@given(clouds(), clouds())
def test_nearest_against_all_pairs(first, second):
    table = np.linalg.norm(first[:, None] - second[None], axis=2)
    found = nearest(first, second)
    np.testing.assert_allclose(found.forward, table.min(1))
    np.testing.assert_allclose(found.backward, table.min(0))
    np.testing.assert_allclose(table[np.arange(len(first)), found.forward_index], table.min(1))
    np.testing.assert_allclose(table[found.backward_index, np.arange(len(second))], table.min(0))


@pytest.mark.parametrize("variant", ["l1_sum", "l2_sum"])
def test_chamfer_grows_as_a_shape_drifts_away(variant):
    values = [chamfer(nearest(FIRST + np.array([0, shift, 0]), SECOND), variant) for shift in (0, 0.5, 1, 2, 4)]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_what_cannot_be_measured_is_refused():
    found = nearest(FIRST, SECOND)
    with pytest.raises(MeshError, match="second set as points of shape"):
        nearest(FIRST, np.zeros((0, 3)))
    with pytest.raises(MeshError, match=r"first set as points .* got \(2, 6\)"):
        nearest(np.zeros((2, 6)), SECOND)
    with pytest.raises(MeshError, match="first set has coordinates that are not finite"):
        nearest(np.full((2, 3), np.nan), SECOND)
    with pytest.raises(PrefalignError, match="unknown Chamfer variant 'l3'"):
        chamfer(found, "l3")
    with pytest.raises(MeshError, match="percentile in"):
        hausdorff(found, 0)
    with pytest.raises(MeshError, match="tau above 0"):
        f_score(found, 0)
    with pytest.raises(MeshError, match=r"partners of shape \(3, 3\), got \(2, 3\)"):
        normal_consistency(FIRST, FIRST, SECOND, FIRST)
