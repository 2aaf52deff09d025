"""The trusted gap: by hand, against a plain search, and where it is out of reach."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefalign.interfaces import PrefalignError
from prefalign_audio.builders.precision import threshold_for_precision, wilson_interval


def test_by_hand():
    # From 0.2 on, of more than that five are left, four right.
    gaps = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.0]
    agrees = [False, False, True, False, True, True, True, True]
    found = threshold_for_precision(gaps, agrees, wanted=0.8, fewest=2)
    assert (found.gap, found.precision, found.kept, found.pairs) == (0.2, 0.8, 5, 8)
    assert found.coverage == 5 / 8
    assert (found.low, found.high) == pytest.approx(wilson_interval(4, 5))


def test_equal_scores_are_never_kept():
    found = threshold_for_precision([0.0] * 5 + [1.0] * 5, [False] * 5 + [True] * 5, wanted=1.0, fewest=5)
    assert (found.gap, found.kept, found.precision) == (0.0, 5, 1.0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.sampled_from([0.5, 0.7, 0.8, 1.0]), st.integers(1, 5))
def test_agrees_with_a_plain_search(seed, count, wanted, fewest):
    rng = np.random.default_rng(seed)
    # Few values, so that gaps are equal.
    gaps, agrees = rng.integers(0, 8, count) / 4, rng.random(count) < 0.7
    found = None
    for limit in sorted({0.0, *gaps.tolist()}):
        kept = agrees[gaps > limit]
        if len(kept) >= fewest and kept.mean() >= wanted:
            found = (limit, kept.mean(), len(kept))
            break
    if found is None:
        with pytest.raises(PrefalignError, match="no gap has a precision"):
            threshold_for_precision(gaps, agrees, wanted, fewest)
    else:
        result = threshold_for_precision(gaps, agrees, wanted, fewest)
        assert (result.gap, result.precision, result.kept) == pytest.approx(found)


def test_a_calibrated_judge_needs_the_gap_that_theory_gives():
    # A judge right with probability σ(gap), gaps uniform on [0, 4]: above t the mean of σ is
    # (softplus(4) - softplus(t)) / (4 - t), which is 0.9 at t = 1.05.
    rng = np.random.default_rng(0)
    gaps = rng.uniform(0, 4, 200_000)
    agrees = rng.random(200_000) < 1 / (1 + np.exp(-gaps))
    found = threshold_for_precision(gaps, agrees, wanted=0.9)
    mean = (np.log1p(np.exp(4)) - np.log1p(np.exp(found.gap))) / (4 - found.gap)
    assert mean == pytest.approx(0.9, abs=0.003)
    assert found.coverage == pytest.approx(1 - found.gap / 4, abs=0.01)


def test_out_of_reach_says_what_is_reached():
    with pytest.raises(
        PrefalignError, match=r"no gap has a precision of 0.8 on 20 pairs or more of 40; the best is 0.5"
    ):
        threshold_for_precision(np.arange(1, 41), np.arange(40) % 2 == 0)
    with pytest.raises(PrefalignError, match="there are 3 apart at all"):
        threshold_for_precision([1.0, 2, 3], [True] * 3)


@pytest.mark.parametrize(
    ("gaps", "agrees", "options"),
    [
        ([-1.0], [True], {}),
        ([np.nan], [True], {}),
        ([1.0, 2.0], [True], {}),
        ([1.0], [0.7], {}),
        ([1.0], [True], {"wanted": 0}),
        ([1.0], [True], {"wanted": 1.1}),
        ([1.0], [True], {"fewest": 0}),
    ],
)
def test_bad_input(gaps, agrees, options):
    with pytest.raises(PrefalignError, match="expected"):
        threshold_for_precision(gaps, agrees, **options)


def test_wilson_interval():
    # Eight of ten: Wilson's interval, computed from its formula in closed form.
    z2 = 1.959963984540054**2
    centre = (0.8 + z2 / 20) / (1 + z2 / 10)
    half = 1.959963984540054 / (1 + z2 / 10) * (0.8 * 0.2 / 10 + z2 / 400) ** 0.5
    assert wilson_interval(8, 10) == pytest.approx((centre - half, centre + half))
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson_interval(0, 10)[0] == 0
    assert wilson_interval(10, 10)[1] == pytest.approx(1)
    assert wilson_interval(0, 0) == (0, 1)
