"""Calibrated probabilities, and score gaps with a known precision."""

import math

import pytest
import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign_audio.rewards.calibration import Calibration, calibrate, choose_gap


def overconfident(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Labels drawn from sigmoid(z/3 − 1/2), scored z."""
    draw = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(count, generator=draw, dtype=torch.float64)
    return logits, (torch.rand(count, generator=draw) < torch.sigmoid(logits / 3 - 0.5)).double()


def test_closed_form_on_two_scores() -> None:
    """Of clips scored +1, 3 of 4 are good; of those scored −1, 1 of 4. Each group's probability is met exactly by
    slope·(±1) + intercept = ±log 3: slope log 3 = 1.0986, intercept 0. Shifted by 2, the intercept is −2·log 3."""
    logits = torch.tensor([1.0] * 4 + [-1.0] * 4)
    labels = torch.tensor([1.0, 1, 1, 0, 1, 0, 0, 0])
    found = calibrate(logits, labels)
    assert found.slope == pytest.approx(math.log(3), rel=1e-9)
    assert found.intercept == pytest.approx(0.0, abs=1e-9)
    assert calibrate(logits, labels, "temperature").slope == pytest.approx(math.log(3), rel=1e-9)
    shifted = calibrate(logits + 2, labels)
    assert (shifted.slope, shifted.intercept) == pytest.approx((math.log(3), -2 * math.log(3)), rel=1e-9)


@pytest.mark.parametrize("kind", ["platt", "temperature"])
def test_scores_that_are_calibrated_stay_as_they_are(kind: str) -> None:
    """Shares of listeners equal to the scores' own sigmoids leave nothing to mend."""
    logits = torch.linspace(-3, 5, 50, dtype=torch.float64)
    found = calibrate(logits, torch.sigmoid(logits), kind)  # type: ignore[arg-type]
    assert found.slope == pytest.approx(1.0, abs=1e-9)
    assert found.intercept == pytest.approx(0.0, abs=1e-9)


def test_reduces_the_loss_on_clips_it_was_not_fitted_to() -> None:
    logits, labels = overconfident(2_000, seed=0)
    unseen = overconfident(2_000, seed=1)
    platt, temperature = calibrate(logits, labels), calibrate(logits, labels, "temperature")
    assert platt.slope == pytest.approx(1 / 3, abs=0.05)
    assert platt.intercept == pytest.approx(-0.5, abs=0.15)
    assert temperature.intercept == 0
    before, mild, best = (c.nll(*unseen) for c in (Calibration(), temperature, platt))
    assert best < mild < before - 0.1


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_finds_the_optimum_at_any_scale_and_offset(scale: float) -> None:
    """The gradient vanishes: residuals sum to 0, alone and times the scores."""
    logits, labels = overconfident(300, seed=2)
    moved = (logits + 50) * scale
    found = calibrate(moved, labels)
    residual = found(moved) - labels
    assert residual.sum().abs() < 1e-6
    assert (residual * logits).sum().abs() < 1e-5


def test_one_score_far_off_moves_nothing_or_is_named() -> None:
    """A good clip at 1e12 has probability 1 at any slope, so the optimum is that of the others; at 1e16 the arithmetic
    of doubles no longer finds it."""
    logits, labels = torch.arange(8.0, dtype=torch.float64), torch.tensor([0.0, 0, 1, 0, 1, 0, 1, 1])
    alone = calibrate(logits, labels)

    def beside(far: float) -> Calibration:
        return calibrate(torch.cat([logits, torch.tensor([far]).double()]), torch.cat([labels, torch.ones(1)]))

    assert beside(1e12).slope == pytest.approx(alone.slope, rel=1e-9)
    assert beside(1e12).intercept == pytest.approx(alone.intercept, rel=1e-9)
    with pytest.raises(PrefalignError, match=r"the scores lie between 0 and 1e\+16; is one off"):
        beside(1e16)


def test_keeps_the_order_of_scores() -> None:
    logits, labels = overconfident(300, seed=3)
    assert torch.equal(calibrate(logits, labels)(logits).argsort(), logits.argsort())


@pytest.mark.parametrize(
    ("logits", "labels", "kind", "said"),
    [
        ([0.0, 1.0], [0.0, 1.5], "platt", r"expected labels in \[0, 1\], got 1.5"),
        ([0.0, 1.0], [0.0, math.nan], "platt", "expected labels in"),
        ([0.0, math.inf], [0.0, 1.0], "platt", "expected finite scores"),
        ([0.0, 1.0], [1.0, 1.0], "platt", "all 2 labels are 1"),
        ([1.0, 1.0], [0.0, 1.0], "platt", "all scores are equal"),
        ([0.0, 1.0], [0.0], "platt", "N scores and N labels"),
        ([], [], "platt", "at least one"),
        ([2.0, 3.0, 5.0], [0.0, 1.0, 1.0], "platt", "no slope is steep enough"),
        ([2.0, 3.0, 5.0], [0.0, 0.3, 1.0], "platt", "no slope is steep enough"),
        ([-2.0, 3.0, 5.0], [0.0, 1.0, 1.0], "temperature", "no slope is steep enough"),
        ([2.0, 3.0, 5.0], [1.0, 0.0, 0.0], "platt", "higher scores go with lower labels"),
        ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 1.0, 0.0], "platt", "higher scores go with lower labels"),
    ],
)
def test_refuses_what_cannot_be_calibrated(logits: list[float], labels: list[float], kind: str, said: str) -> None:
    with pytest.raises(PrefalignError, match=said):
        calibrate(torch.tensor(logits), torch.tensor(labels), kind)  # type: ignore[arg-type]


def test_a_calibration_is_increasing_and_finite() -> None:
    for slope, intercept in ((0.0, 0.0), (-1.0, 0.0), (math.inf, 0.0), (1.0, math.nan)):
        with pytest.raises(PrefalignError, match="finite slope above 0"):
            Calibration(slope, intercept)


def test_the_smallest_gap_that_is_precise_enough() -> None:
    """In order of size: 5 right, 4 right, 3 wrong, 2 right, 1 wrong, so that gaps of 5, 4, 3, 2, 1 have a precision of
    1, 1, 2/3, 3/4, 3/5. The smallest gap with at least 3/4 is 2, although it is not reached at 3."""
    differences = torch.tensor([2.0, -3.0, 5.0, -1.0, 4.0])
    found = choose_gap(differences, 0.75, min_pairs=1)
    assert (found.gap, found.precision, found.kept) == (2.0, 0.75, 4)
    assert choose_gap(differences, 0.6, min_pairs=1).kept == 5
    assert choose_gap(differences, 0.9, min_pairs=1).gap == 4.0


def test_equal_gaps_are_kept_or_dropped_together() -> None:
    """At gap 1 there are 3 right of 4; the order inside the tie plays no part. A gap of 0 orders nothing."""
    for signs in ([1.0, 1.0, 1.0, -1.0], [-1.0, 1.0, 1.0, 1.0]):
        found = choose_gap(torch.tensor([*signs, 0.0]), 0.7, min_pairs=1)
        assert (found.gap, found.precision, found.kept) == (1.0, 0.75, 4)
        assert choose_gap(torch.tensor([*signs, 0.0]), 0.6, min_pairs=1).gap == 1.0
        with pytest.raises(PrefalignError, match=r"the best is 0\.750 at a gap of 1"):
            choose_gap(torch.tensor(signs), 0.8, min_pairs=1)


def test_a_handful_of_pairs_proves_nothing() -> None:
    lucky = torch.tensor([9.0] * 5 + [1.0, -1.0] * 20)
    assert choose_gap(lucky, 0.9, min_pairs=5).gap == 9.0
    with pytest.raises(PrefalignError, match=r"no gap has a precision of 0.9 on at least 20 of 45 held-out pairs"):
        choose_gap(lucky, 0.9)


@pytest.mark.parametrize(
    ("differences", "precision", "said"),
    [
        ([1.0], 0.5, "precision above 0.5"),
        ([1.0], 1.1, "precision above 0.5"),
        ([math.nan], 0.8, "finite differences"),
        ([], 0.8, "the best is none"),
        ([0.0, 0.0], 0.8, "the best is none"),
    ],
)
def test_refuses_gaps_of_nothing(differences: list[float], precision: float, said: str) -> None:
    with pytest.raises(PrefalignError, match=said):
        choose_gap(torch.tensor(differences), precision, min_pairs=1)
