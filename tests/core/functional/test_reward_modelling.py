"""Losses of reward models."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.functional import reward_modelling as rm

QUICK = settings(deadline=None, max_examples=50, derandomize=True)


def test_bradley_terry_with_margin_by_hand():
    """−log σ(1.5 − 0.5) = log(1 + e^{−1})."""
    loss = rm.bradley_terry(torch.tensor([1.5], dtype=torch.float64), 0.5)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-1)), abs=1e-12)


@given(st.floats(-20, 20), st.floats(1.001, 50))
@QUICK
def test_win_tie_and_loss_probabilities_sum_to_one(difference, k):
    d = torch.tensor([difference, -difference, difference], dtype=torch.float64)
    loss = rm.rao_kupper(d, torch.tensor([False, False, True]), k)
    assert loss.neg().exp().sum().item() == pytest.approx(1.0, abs=1e-9)


def test_ties_by_hand_at_equal_rewards():
    """k = 5: P(win) = σ(−log 5) = 1/6, P(tie) = 24/36 = 2/3 = (k − 1)/(k + 1)."""
    zero = torch.zeros(2, dtype=torch.float64)
    loss = rm.rao_kupper(zero, torch.tensor([False, True]), 5.0)
    assert loss.tolist() == pytest.approx([math.log(6), math.log(1.5)], abs=1e-12)


def test_ties_vanish_into_bradley_terry_as_k_falls_to_one():
    d = torch.linspace(-3, 3, 5, dtype=torch.float64)
    near = rm.rao_kupper(d, torch.zeros(5, dtype=torch.bool), 1 + 1e-9, margin=0.3)
    torch.testing.assert_close(near, rm.bradley_terry(d, 0.3), atol=1e-8, rtol=0)


@pytest.mark.parametrize("log_inside", [True, False])
def test_without_variance_the_gaussian_is_bradley_terry(log_inside):
    mean = torch.tensor([-2.0, 0.0, 3.0], dtype=torch.float64)
    loss = rm.gaussian(mean, torch.zeros(3, dtype=torch.float64), log_inside=log_inside)
    torch.testing.assert_close(loss, rm.bradley_terry(mean), atol=1e-11, rtol=0)


@pytest.mark.parametrize("log_inside", [True, False])
def test_quadrature_is_as_good_as_a_fine_grid(log_inside):
    """Against a Riemann sum over ±12 deviations with 48,001 points, for deviations up to 3."""
    grid = torch.linspace(-12, 12, 48001, dtype=torch.float64)
    density = torch.exp(-0.5 * grid**2)
    density = density / density.sum()
    for mean, deviation in [(0.0, 0.5), (1.0, 1.0), (-2.0, 2.0), (0.5, 3.0)]:
        log_p = torch.nn.functional.logsigmoid(mean + deviation * grid)
        expected = -(density * log_p).sum() if log_inside else -(density * log_p.exp()).sum().log()
        found = rm.gaussian(
            torch.tensor([mean], dtype=torch.float64),
            torch.tensor([deviation**2], dtype=torch.float64),
            log_inside=log_inside,
        )
        tolerance = {0.5: 1e-12, 1.0: 1e-12, 2.0: 1e-6, 3.0: 1e-4}[deviation]
        assert found.item() == pytest.approx(expected.item(), abs=tolerance)


def test_only_the_log_outside_rewards_doubt():
    """Mean −1: E[−log σ] grows with the variance, −log E[σ] falls; both are steep at once the mean is known."""
    mean = torch.full((2,), -1.0, dtype=torch.float64)
    variance = torch.tensor([0.5, 4.0], dtype=torch.float64)
    inside = rm.gaussian(mean, variance, log_inside=True)
    outside = rm.gaussian(mean, variance, log_inside=False)
    assert inside[1] > inside[0]
    assert outside[1] < outside[0]
    assert (outside <= inside).all()


@pytest.mark.parametrize("log_inside", [True, False])
def test_sampling_agrees_with_the_quadrature(log_inside):
    """400,000 draws: standard error of the mean of log σ at these settings below 2.5e-3."""
    mean, variance = torch.tensor([0.5, -1.0], dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    drawn = rm.gaussian_sampled(mean, variance, log_inside=log_inside, samples=400_000, generator=generator)
    torch.testing.assert_close(drawn, rm.gaussian(mean, variance, log_inside=log_inside), atol=1e-2, rtol=0)


@pytest.mark.parametrize("log_inside", [True, False])
def test_gaussian_gradients_and_extremes(log_inside):
    mean = torch.tensor([0.3, -1.5], dtype=torch.float64, requires_grad=True)
    variance = torch.tensor([0.4, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m, v: rm.gaussian(m, v, log_inside=log_inside), (mean, variance))
    far = torch.tensor([-1e4, 1e4, 0.0, -1e4], requires_grad=True)
    wide = torch.tensor([0.0, 1e8, 0.0, 1e8], requires_grad=True)
    loss = rm.gaussian(far, wide, log_inside=log_inside)
    slopes = torch.autograd.grad(loss.sum(), (far, wide))
    assert loss.isfinite().all()
    assert all(slope.isfinite().all() for slope in slopes)


def test_noise_bounds_the_loss():
    """Never above log(2/0.1) = log 20, and ½ at equal rewards."""
    loss = rm.noisy_bradley_terry(torch.tensor([-1e4, 0.0, 1e4], dtype=torch.float64), 0.1)
    assert loss.tolist() == pytest.approx([math.log(20), math.log(2), -math.log(0.95)], abs=1e-12)


def test_gradients_of_the_closed_forms():
    d = torch.tensor([0.3, -1.5], dtype=torch.float64, requires_grad=True)
    tie = torch.tensor([True, False])
    assert torch.autograd.gradcheck(lambda x: rm.rao_kupper(x, tie, 3.0, 0.2), d)
    assert torch.autograd.gradcheck(lambda x: rm.bradley_terry(x, 0.2) + rm.centring(x, x), d)
    assert torch.autograd.gradcheck(lambda x: rm.noisy_bradley_terry(x, 0.1, 0.2), d)
