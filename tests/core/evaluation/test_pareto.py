"""Fronts against the definition, volumes against hand-drawn boxes and counted cells, intervals by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prefalign.evaluation.pareto import hypervolume, mean_and_deviation, non_dominated, paired_difference
from prefalign.interfaces import PrefalignError

GRID = arrays(np.int64, st.tuples(st.integers(0, 9), st.integers(1, 4)), elements=st.integers(0, 5))
WAYS = st.lists(st.sampled_from(["max", "min"]), min_size=4, max_size=4)


# --------------------------------------------------------------------------------------------------------------- fronts


def test_a_front_by_hand():
    """Error (min) and agreement (max): B beats C, D equals B, E is best in error alone."""
    points = [(0.3, 0.5), (0.2, 0.8), (0.3, 0.7), (0.2, 0.8), (0.1, 0.1)]
    assert non_dominated(points, ["min", "max"]).tolist() == [False, True, False, True, True]


def test_a_nan_is_neither_on_the_front_nor_in_the_way():
    points = [(np.nan, 9.0), (1.0, 1.0), (1.0, np.nan)]
    assert non_dominated(points, ["max", "max"]).tolist() == [False, True, False]
    assert non_dominated([(np.inf, 0.0), (0.0, 0.0), (0.0, np.inf)], ["max", "max"]).tolist() == [True, False, True]


def test_no_points_have_no_front():
    assert non_dominated([], ["max", "min"]).tolist() == []
    assert hypervolume([], (0, 0), ["max", "max"]) == 0


@given(GRID, WAYS)
def test_the_front_is_the_definition(points, ways):
    """For every point, by brute force over all others."""
    ways = ways[: points.shape[1]]
    signed = points * np.array([1 if way == "max" else -1 for way in ways])
    expected = [not any((q >= p).all() and (q > p).any() for q in signed) for p in signed]
    assert non_dominated(points, ways).tolist() == expected


# -------------------------------------------------------------------------------------------------------------- volumes


def test_an_area_by_hand():
    """Steps (3, 1), (2, 2), (1, 3) from the origin: 3 + 2 + 1; a dominated point and one behind the origin add none."""
    steps = [(1, 3), (3, 1), (2, 2)]
    assert hypervolume(steps, (0, 0), ["max", "max"]) == 6
    assert hypervolume([*steps, (1, 1), (9, -1), (2, 2)], (0, 0), ["max", "max"]) == 6


def test_an_area_of_mixed_directions_by_hand():
    """Error 0.2 under a reference of 0.5, agreement 0.9 over 0.5: 0.3 · 0.4."""
    assert hypervolume([(0.2, 0.9)], (0.5, 0.5), ["min", "max"]) == pytest.approx(0.12)


def test_a_volume_by_hand():
    """Boxes 2 · 2 · 1 and 1 · 1 · 3 meet in 1 · 1 · 1: 4 + 3 − 1. Three plates of 9 meet pairwise in 3, all in 1."""
    assert hypervolume([(2, 2, 1), (1, 1, 3)], (0, 0, 0), ["max"] * 3) == 6
    assert hypervolume([(1, 3, 3), (3, 1, 3), (3, 3, 1)], (0, 0, 0), ["max"] * 3) == 27 - 9 + 1


@given(GRID, WAYS)
def test_volumes_count_cells(points, ways):
    """On whole numbers a volume is the number of unit cells whose far corner some point reaches."""
    ways = ways[: points.shape[1]]
    gains = np.where([way == "max" for way in ways], points, 5 - points)
    corners = np.array(list(itertools.product(range(1, 6), repeat=points.shape[1])))
    counted = (gains[None] >= corners[:, None]).all(axis=2).any(axis=1).sum() if len(points) else 0
    reference = np.where([way == "max" for way in ways], 0, 5)
    assert hypervolume(points, reference, ways) == counted


def test_volumes_agree_with_monte_carlo():
    """200,000 draws: within five standard errors."""
    draw = np.random.default_rng(0)
    points = draw.random((12, 3))
    cells = draw.random((200_000, 3))
    share = (points[:, None] >= cells[None]).all(axis=2).any(axis=0).mean()
    volume = hypervolume(points, (0, 0, 0), ["max"] * 3)
    assert abs(volume - share) < 5 * np.sqrt(volume * (1 - volume) / len(cells))


@given(GRID)
def test_only_the_front_has_volume(points):
    """Taking dominated points and duplicates away changes nothing; the order does not count."""
    ways = ["max"] * points.shape[1]
    reference = np.zeros(points.shape[1]) - 1
    front = np.unique(points[non_dominated(points, ways)], axis=0)
    assert hypervolume(points, reference, ways) == hypervolume(front[::-1], reference, ways)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: non_dominated([(1, 2)], ["max", "up"]), "'max' or 'min', got 'up'"),
        (lambda: non_dominated([1, 2], ["max"]), r"\(n, 1\) points"),
        (lambda: non_dominated([(1, 2)], ["max"]), r"got \(1, 2\)"),
        (lambda: hypervolume([(1, 2)], (0, np.nan), ["max"] * 2), "finite reference"),
        (lambda: hypervolume([(1, np.inf)], (0, 0), ["max"] * 2), "infinite volume"),
        (lambda: mean_and_deviation([]), "at least one seed"),
        (lambda: paired_difference([1.0], [1.0, 2.0]), "in pairs"),
        (lambda: paired_difference([], []), "in pairs"),
        (lambda: paired_difference([np.nan], [1.0]), "finite numbers"),
        (lambda: paired_difference([1.0], [1.0], confidence=1), "confidence between 0 and 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, message):
    with pytest.raises(PrefalignError, match=message):
        call()


# ------------------------------------------------------------------------------------------------------- over the seeds


def test_mean_and_sample_deviation_by_hand():
    """1, 2, 6: mean 3, squares 4 + 1 + 9 over n − 1 = 2."""
    mean, deviation = mean_and_deviation([[1.0], [2.0], [6.0]])
    assert (mean.tolist(), deviation.tolist()) == ([3.0], [pytest.approx(np.sqrt(7))])
    assert np.isnan(mean_and_deviation([[1.0, 2.0]])[1]).all()


def test_a_constant_difference_has_no_spread():
    interval = paired_difference([1.5, 2.5, 9.5], [1.0, 2.0, 9.0])
    assert (interval.estimate, interval.low, interval.high) == (0.5, 0.5, 0.5)


def test_two_pairs_by_hand():
    """Resamples of (0, 1): means 0, ½, 1 with chances ¼, ½, ¼; 95 % reaches both ends, 40 % neither."""
    wide = paired_difference([0.0, 1.0], [0.0, 0.0])
    assert (wide.low, wide.estimate, wide.high) == (0.0, 0.5, 1.0)
    narrow = paired_difference([0.0, 1.0], [0.0, 0.0], confidence=0.4)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_pairs_are_kept_together():
    """What is common to both sides of a pair cancels: unpaired resampling would reach from −200 to 200."""
    interval = paired_difference([101.0, 1.0, -99.0], [100.0, 0.0, -100.0])
    assert (interval.low, interval.high) == (1.0, 1.0)


def test_intervals_cover_about_as_often_as_they_say():
    """200 experiments of 40 normal differences: 95 % ± five binomial standard errors, less a little for percentiles."""
    draw = np.random.default_rng(1)
    covered = [
        interval.low <= 0.3 <= interval.high
        for interval in (
            paired_difference(draw.normal(0.3, 1, 40).tolist(), [0.0] * 40, rounds=400) for _ in range(200)
        )
    ]
    assert 0.87 < np.mean(covered) <= 1
