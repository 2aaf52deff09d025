"""Reward-model figures by hand, and their intervals."""

import math

import numpy as np
import pytest

from prefalign.interfaces import PrefalignError
from prefalign_audio.metrics.functional.reward_quality import (
    agreement,
    area_under_curve,
    calibration_error,
    kendall,
    pair_counts,
    rank_correlation,
    reward_quality,
)


def numbers(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def test_area_under_curve() -> None:
    """0.35 and 0.8 against 0.1 and 0.4: 3 of 4 pairs right; a tie counts half; one side only has no curve."""
    assert area_under_curve(numbers(0.1, 0.4, 0.35, 0.8), numbers(0, 0, 1, 1)) == 0.75
    assert area_under_curve(numbers(0.5, 0.5), numbers(0, 1)) == 0.5
    assert math.isnan(area_under_curve(numbers(0.5, 0.6), numbers(1, 1)))


def test_calibration_error() -> None:
    """Bin of 0.1: mean score 0.1, mean label 1/2; bin of 0.9: 0.9 and 1: half of 0.4 and of 0.1 is 0.25.

    A score of 1 belongs to the last bin, and one of exactly 0.5 to the bin above it.
    """
    assert calibration_error(numbers(0.1, 0.1, 0.9, 0.9), numbers(0, 1, 1, 1)) == pytest.approx(0.25)
    assert calibration_error(numbers(1.0, 1.0), numbers(1, 0)) == pytest.approx(0.5)
    assert calibration_error(numbers(0.4, 0.5), numbers(0, 1), bins=2) == pytest.approx((0.4 + 0.5) / 2)


def test_agreement() -> None:
    """|0.4 − 0| and |0.8 − 1| are below a half, |0.5 − 1| is not."""
    assert agreement(numbers(0.4, 0.8, 0.5), numbers(0, 1, 1)) == pytest.approx(2 / 3)


def test_rank_correlations() -> None:
    """(1, 2, 3) with (1, 3, 2): ρ = 1 − 6 · 2 / 24 = ½, τ = (2 − 1) / 3; constants have none."""
    first, second = numbers(1, 2, 3), numbers(10, 30, 20)
    assert rank_correlation(first, second) == pytest.approx(0.5)
    assert kendall(first, second) == pytest.approx(1 / 3)
    assert math.isnan(rank_correlation(first, numbers(1, 1, 1)))
    assert math.isnan(kendall(numbers(2, 2, 2), second))


def test_ties_get_mean_ranks() -> None:
    """Ranks (1.5, 1.5, 3) and (1, 2, 3): centred (−½, −½, 1) · (−1, 0, 1) = 1.5 over √(1.5 · 2) = √3 / 2."""
    assert rank_correlation(numbers(5, 5, 9), numbers(1, 2, 3)) == pytest.approx(math.sqrt(3) / 2)


def test_pairs_stay_within_a_prompt() -> None:
    """Prompt 0: label 1 above 0, right. Prompt 1: two pairs against the 0, one right, one tied. Prompt 2: one clip."""
    right, pairs = pair_counts(
        numbers(0.1, 0.2, 0.9, 0.3, 0.2, 0.7), numbers(0, 0, 1, 1, 1, 1), np.array([0, 1, 0, 1, 1, 2]), 3
    )
    assert right.tolist() == [1, 1.5, 0]
    assert pairs.tolist() == [1, 2, 0]


def test_all_figures() -> None:
    """The figures above on all clips; one of the two pairs within a prompt is right; ρ is 2 / √(5 · 4)."""
    scores, labels, groups = numbers(0.1, 0.4, 0.35, 0.8), numbers(0, 0, 1, 1), np.array([7, 7, 7, -2])
    found = {name: interval.estimate for name, interval in reward_quality(scores, labels, groups, rounds=10).items()}
    assert found == pytest.approx(
        {"auc": 0.75, "pair_accuracy": 0.5, "accuracy": 0.75, "ece": (0.1 + 0.4 + 0.65 + 0.2) / 4}
        | {"spearman": 1 / math.sqrt(5), "kendall": kendall(scores, labels)}
    )


def test_ratings_have_rank_figures_only() -> None:
    """Numbers of any size; the higher rating should have the higher score."""
    found = reward_quality(numbers(-3, 4, 0.5), numbers(1, 5, 3), np.zeros(3, int), kind="ratings", rounds=5)
    assert {name: interval.estimate for name, interval in found.items()} == pytest.approx(
        {"spearman": 1, "kendall": 1, "pair_accuracy": 1}
    )


def test_interval_of_a_coin() -> None:
    """400 clips of prompts of their own, half of them right: ±1.96 · √(¼/400) = ±0.049 around ½."""
    labels = np.tile([0.0, 1.0], 200)
    scores = np.where(np.arange(400) % 4 < 2, labels, 1 - labels)
    found = reward_quality(scores, labels, np.arange(400), rounds=2000)["accuracy"]
    assert found.estimate == 0.5
    assert (found.low, found.high) == pytest.approx((0.451, 0.549), abs=0.006)


def test_prompts_are_drawn_whole() -> None:
    """The same clips in 20 prompts of 20 that are right or wrong as a whole: √20 times as wide."""
    right = np.repeat(np.arange(20) % 2, 20).astype(float)
    labels = np.tile([0.0, 1.0], 200)
    found = reward_quality(np.where(right == 1, labels, 1 - labels), labels, np.repeat(np.arange(20), 20), rounds=2000)
    width = found["accuracy"].high - found["accuracy"].low
    assert width == pytest.approx(0.098 * math.sqrt(20), rel=0.1)


def test_seed_and_order_of_clips() -> None:
    """The seed decides; the order in which clips came does not."""
    generator = np.random.default_rng(0)
    scores, labels, groups = generator.random(60), generator.integers(0, 2, 60).astype(float), np.arange(60) // 3
    first = reward_quality(scores, labels, groups, rounds=50, seed=1)
    order = generator.permutation(60)
    again = reward_quality(scores[order], labels[order], groups[order], rounds=50, seed=1)
    other = reward_quality(scores, labels, groups, rounds=50, seed=2)
    for name, interval in first.items():
        assert (again[name].low, again[name].high) == pytest.approx((interval.low, interval.high))
    assert other["auc"].low != first["auc"].low


def test_what_cannot_be_given() -> None:
    """One clip a prompt makes no pair, and one label no curve: NaN with NaN bounds, and the rest is there."""
    found = reward_quality(numbers(0.2, 0.9), numbers(1, 1), np.array([0, 1]), rounds=5)
    for name in ("pair_accuracy", "auc", "spearman", "kendall"):
        assert all(math.isnan(value) for value in (found[name].estimate, found[name].low, found[name].high))
    assert found["accuracy"].estimate == 0.5


@pytest.mark.parametrize(
    ("scores", "labels", "kind", "message"),
    [
        (numbers(0.5, 1.5), numbers(0, 1), "binary", r"scores\[1\]: expected a number in \[0, 1\], got 1.5"),
        (numbers(0.5, 0.5), numbers(0, 5), "binary", r"labels\[1\]: .*got 5.0"),
        (numbers(0.5, math.nan), numbers(0, 1), "binary", r"scores\[1\]"),
        (numbers(0.5, math.inf), numbers(0, 1), "ratings", r"scores\[1\]: expected a finite number"),
        (numbers(0.5), numbers(0, 1), "binary", "of one length above 0, got 1, 2, 2"),
        (numbers(), numbers(), "binary", "above 0"),
        (numbers(0.5, 0.5), numbers(0, 1), "ranks", "of the kind 'binary' or 'ratings', got 'ranks'"),
    ],
)
def test_refuses(scores: np.ndarray, labels: np.ndarray, kind: str, message: str) -> None:
    """Each names the first wrong number."""
    with pytest.raises(PrefalignError, match=message):
        reward_quality(scores, labels, np.arange(len(labels)), kind=kind)  # type: ignore[arg-type]
