"""Losses of robust reward learning."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.functional import robust_reward as rr
from prefalign.functional.reward_modelling import bradley_terry, gaussian


def vector(*values: float, **options) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, **options)


def test_two_draws_by_hand():
    """Δ = 0.5, variance 0.25, ε = 1 and −1: z = 1 and 0; p = 0.8.

    At z = 1: 0.8 · 0.3132617 + 0.2 · 1.3132617 = 0.5132617; at z = 0: log 2 = 0.6931472; mean 0.6032044.
    With margin 0.5 the first is 0.8 · log(1 + e^−0.5) + 0.2 · log(1 + e^1.5) = 0.3792616 + 0.3402827, the second
    log(1 + e^0.5) = 0.9740770; mean 0.8468106.
    """
    noise = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    arguments = vector(0.5), vector(0.25), vector(0.8), noise
    assert rr.sampled_cross_entropy(*arguments).item() == pytest.approx(0.6032044, abs=1e-7)
    assert rr.sampled_cross_entropy(*arguments, 0.5).item() == pytest.approx(0.8468106, abs=1e-7)


def test_without_variance_it_is_bradley_terry():
    difference, noise = vector(-2.0, 0.0, 3.0), torch.randn(7, 3, dtype=torch.float64)
    loss = rr.sampled_cross_entropy(difference, torch.zeros_like(difference), vector(1, 1, 1), noise, 0.3)
    torch.testing.assert_close(loss, bradley_terry(difference, 0.3), atol=1e-5, rtol=0)
    opposite = rr.sampled_cross_entropy(difference, torch.zeros_like(difference), vector(0, 0, 0), noise, 0.3)
    torch.testing.assert_close(opposite, bradley_terry(-difference, 0.3), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 0.5), (1.0, 1.0), (-2.0, 2.0), (0.5, 6.0)])
def test_many_draws_agree_with_the_integral(mean, deviation):
    """A Riemann sum over ±12 deviations with 48,001 points; within five standard errors of 400,000 draws."""
    grid = torch.linspace(-12, 12, 48001, dtype=torch.float64)
    density = torch.exp(-0.5 * grid**2) / torch.exp(-0.5 * grid**2).sum()
    z, p = mean + deviation * grid, 0.7
    cost = -(p * torch.nn.functional.logsigmoid(z) + (1 - p) * torch.nn.functional.logsigmoid(-z))
    expected = (density * cost).sum()
    error = ((density * cost**2).sum() - expected**2).sqrt() / math.sqrt(400_000)
    noise = torch.randn(400_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = rr.sampled_cross_entropy(vector(mean), vector(deviation**2), vector(p), noise)
    assert found.item() == pytest.approx(expected.item(), abs=5 * error.item())
    if deviation <= 2:
        exact = p * gaussian(vector(mean), vector(deviation**2), log_inside=True)
        exact += (1 - p) * gaussian(-vector(mean), vector(deviation**2), log_inside=True)
        assert exact.item() == pytest.approx(expected.item(), abs=1e-6)


def test_one_draw_for_the_sum_is_as_good_as_one_for_each_step():
    """Mean and variance of the loss over 200,000 draws of four steps and of their total agree."""
    generator = torch.Generator().manual_seed(3)
    means, deviations = vector(0.3, -0.2, 0.5, 0.1), vector(0.5, 1.0, 0.2, 0.7)
    steps = means + deviations * torch.randn(200_000, 4, dtype=torch.float64, generator=generator)
    each = bradley_terry(steps.sum(1))
    noise = torch.randn(200_000, 1, dtype=torch.float64, generator=generator)
    total = torch.stack(
        [
            rr.sampled_cross_entropy(means.sum()[None], (deviations**2).sum()[None], vector(1.0), part)[0]
            for part in noise.split(50_000)
        ]
    ).mean()
    assert total.item() == pytest.approx(each.mean().item(), abs=5e-3)


@given(st.floats(-8, 8), st.floats(0, 9), st.integers(0, 99))
@settings(deadline=None, max_examples=40, derandomize=True)
def test_an_undecided_judgement_is_symmetric_in_every_draw(difference, variance, seed):
    noise = torch.randn(3, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    one = rr.sampled_cross_entropy(vector(difference), vector(variance), vector(0.5), noise)
    other = rr.sampled_cross_entropy(vector(-difference), vector(variance), vector(0.5), -noise)
    torch.testing.assert_close(one, other)


def test_entropy_and_shortfall_by_hand():
    """h(1) = ½ log(2πe) = 1.4189385; a deviation of e adds 1; the floor 2 lacks 0.5810615 at 1 and nothing at e."""
    variance = vector(1.0, math.e**2)
    assert rr.gaussian_entropy(variance).tolist() == pytest.approx([1.4189385, 2.4189385], abs=1e-7)
    assert rr.entropy_shortfall(variance, 2.0).tolist() == pytest.approx([0.5810615, 0.0], abs=1e-7)


def test_gradients_and_extremes():
    difference = vector(0.3, -1.5, requires_grad=True)
    variance = vector(0.4, 2.0, requires_grad=True)
    probability, noise = vector(0.9, 0.4), torch.randn(4, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda d, v: rr.sampled_cross_entropy(d, v, probability, noise, 0.2) + rr.entropy_shortfall(v, 3.0),
        (difference, variance),
    )
    far = torch.tensor([-1e4, 1e4, 0.0, -1e4], requires_grad=True)
    wide = torch.tensor([0.0, 1e8, 0.0, 1e8], requires_grad=True)
    loss = rr.sampled_cross_entropy(far, wide, torch.full((4,), 0.5), torch.randn(5, 4)).sum()
    loss = loss + rr.entropy_shortfall(wide, 1.0).sum()
    slopes = torch.autograd.grad(loss, (far, wide))
    assert loss.isfinite()
    assert all(slope.isfinite().all() for slope in slopes)


def test_only_the_floor_speaks_for_doubt():
    """At the same mean the drawn loss grows with the variance, and the shortfall falls."""
    noise = torch.randn(20_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    variance = vector(0.1, 4.0)
    loss = rr.sampled_cross_entropy(vector(-1.0, -1.0), variance, vector(1.0, 1.0), noise)
    assert loss[1] > loss[0] + 0.1
    shortfall = rr.entropy_shortfall(variance, 1.0)
    assert shortfall[0] > 0 == shortfall[1]
