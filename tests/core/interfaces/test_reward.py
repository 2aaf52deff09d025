"""Sums over steps, and preference probabilities with and without uncertainty."""

import math

import pytest
import torch

from prefalign.interfaces import Batch, Pair, PreferenceRecord, Prompt, Relations, Response, Reward, RewardOutput


class Given(Reward):
    """Says what it was told to say."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, batch):
        return self.output


def batch():
    answers = (Response(text="a"), Response(text="b"))
    made = PreferenceRecord(id="r", prompt=Prompt(text="q"), responses=answers, verdict=Pair())
    return Batch({}, Relations.from_records([made]), ["a", "b"])


def test_steps_outside_the_mask_do_not_count_and_variances_add():
    """Row 0 has 2 steps: mean 1 + 2 = 3, variance 0.1 + 0.2; row 1 has one: 5 and 0.4."""
    mean = torch.tensor([[[1.0], [2.0], [9.0]], [[5.0], [9.0], [9.0]]])
    variance = torch.tensor([[[0.1], [0.2], [9.0]], [[0.4], [9.0], [9.0]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    total = RewardOutput(mean, torch.ones(2, dtype=torch.bool), variance, mask).totals()
    torch.testing.assert_close(total.mean, torch.tensor([[3.0], [5.0]]))
    torch.testing.assert_close(total.variance, torch.tensor([[0.3], [0.4]]))


def test_probability_is_logistic_and_doubt_pulls_it_to_one_half():
    """sigma(2) = 0.8807970779778823; with summed variance 8/pi the difference is divided by sqrt(2)."""
    mean, valid = torch.tensor([[3.0], [1.0]]), torch.ones(2, dtype=torch.bool)
    assert Given(RewardOutput(mean, valid)).compare(batch()).item() == pytest.approx(0.8807970779778823)
    doubtful = RewardOutput(mean, valid, torch.full((2, 1), 4 / math.pi))
    assert Given(doubtful).compare(batch()).item() == pytest.approx(1 / (1 + math.exp(-math.sqrt(2))))
