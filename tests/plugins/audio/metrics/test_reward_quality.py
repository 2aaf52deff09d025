"""Reward-model quality over batches."""

import pytest
import torch

from prefalign.interfaces import PrefalignError
from prefalign_audio.metrics.reward_quality import RewardQuality


def test_figures_with_bounds() -> None:
    """Two prompts in two batches: one pair right of one in the first, one of one wrong in the second: ½; AUC 3/4.

    Drawing two prompts of two, an interval of 95 % reaches from the worst to the best: 0 to 1.
    """
    metric = RewardQuality(rounds=200)
    metric.update(torch.tensor([0.9, 0.6]), torch.tensor([1, 0]), ["a", "b"])
    metric.update(torch.tensor([0.2, 0.3]), torch.tensor([0, 1]), ["a", "b"])
    found = {name: value.item() for name, value in metric.compute().items()}
    names = ("auc", "pair_accuracy", "ece", "accuracy", "spearman", "kendall")
    assert set(found) == {"clips", *names, *(f"{n}_low" for n in names), *(f"{n}_high" for n in names)}
    assert found["clips"] == 4
    assert found["auc"] == 0.75
    assert (found["pair_accuracy"], found["pair_accuracy_low"], found["pair_accuracy_high"]) == (0.5, 0, 1)
    assert found["ece"] == pytest.approx((0.1 + 0.6 + 0.2 + 0.7) / 4)


def test_ratings() -> None:
    """Without probabilities there is no calibration to speak of."""
    metric = RewardQuality("ratings", rounds=10)
    metric.update(torch.tensor([-3.0, 9.0]), torch.tensor([1.0, 5.0]), ["a", "a"])
    found = metric.compute()
    assert found["pair_accuracy"] == 1
    assert "ece" not in found


def test_refuses() -> None:
    """Lists of unequal length, and labels outside [0, 1]."""
    metric = RewardQuality()
    with pytest.raises(PrefalignError, match=r"got \(2,\), \(2,\) and 1"):
        metric.update(torch.zeros(2), torch.zeros(2), ["a"])
    metric.update(torch.tensor([0.5]), torch.tensor([3]), ["a"])
    with pytest.raises(PrefalignError, match=r"labels\[0\]: expected a number in \[0, 1\], got 3.0"):
        metric.compute()
