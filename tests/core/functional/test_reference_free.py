"""Rewards without a reference."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.functional.reference_free import alpha_reward, log_odds


def test_alpha_reward_is_its_formula_and_tends_to_the_log_probability():
    logps = torch.tensor([-0.1, -1.0, -4.0], dtype=torch.float64)
    expected = [(1 - math.exp(x) ** -0.25) / 0.25 for x in logps.tolist()]
    assert alpha_reward(logps, 0.25).tolist() == pytest.approx(expected, abs=1e-12)
    assert alpha_reward(logps, 0.0) is logps
    torch.testing.assert_close(alpha_reward(logps, 1e-9), logps, atol=1e-7, rtol=0)


def test_log_odds_are_the_logit_of_the_probability():
    logps = torch.tensor([0.5, 0.9, 1e-6], dtype=torch.float64).log()
    expected = [0.0, math.log(9), math.log(1e-6 / (1 - 1e-6))]
    assert log_odds(logps).tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("reward", [lambda x: alpha_reward(x, 0.25), lambda x: alpha_reward(x, -0.5), log_odds])
def test_gradients_and_extremes(reward):
    """Increasing, exact, and finite from certain responses (0) to impossible ones."""
    x = torch.tensor([-0.2, -1.3, -3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(reward, x)
    (slope,) = torch.autograd.grad(reward(x).sum(), x)
    assert (slope > 0).all()
    far = torch.tensor([0.0, -1e-9, -1e4], requires_grad=True)
    value = reward(far)
    (slope,) = torch.autograd.grad(value.sum(), far)
    assert value.isfinite().all()
    assert slope.isfinite().all()
