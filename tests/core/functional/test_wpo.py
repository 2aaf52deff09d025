"""WPO's confidence weights."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.functional.wpo import confidence


def test_weight_is_the_geometric_mean_over_the_response():
    """Row 0: p/Σp² is 0.5/0.5 and 0.125/0.5, geometric mean √(1 · ¼) = ½, without padding. Row 1 is empty."""
    logps = torch.tensor([[0.5, 0.125, 1e-9], [1.0, 1.0, 1.0]]).log().requires_grad_()
    collision = torch.full((2, 3), math.log(0.5))
    weight = confidence(logps, collision, torch.tensor([[True, True, False], [False] * 3]))
    assert weight.tolist() == pytest.approx([0.5, 1.0])
    assert not weight.requires_grad


def test_a_uniform_policy_gives_weight_one():
    """For V equally likely tokens p = Σ p² = 1/V."""
    logps = torch.full((1, 4), -math.log(7))
    assert confidence(logps, logps, torch.ones(1, 4, dtype=torch.bool)).item() == pytest.approx(1.0)
