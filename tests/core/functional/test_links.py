"""Links: special values, exact gradients, and finite numbers where naive formulas overflow."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.functional import links

LINKS = {
    "logistic": lambda x: links.logistic(x),
    "logistic, smoothed": lambda x: links.logistic(x, 0.2),
    "hinge": links.hinge,
    "negative sigmoid": links.negative_sigmoid,
    "squared": lambda x: links.squared(x, 5.0),
    "exo": lambda x: links.exo(x, 1e-3),
    "robust": lambda x: links.robust(x, 0.2),
    "discopop": lambda x: links.discopop(x, 0.05),
}


@pytest.mark.parametrize("name", LINKS)
def test_gradients_are_exact(name):
    x = torch.tensor([-3.0, -0.4, 0.3, 2.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(LINKS[name], x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LINKS)
def test_extreme_margins_have_finite_losses_and_gradients(name, dtype):
    x = torch.tensor([-1e4, -200.0, 0.0, 200.0, 1e4], dtype=dtype, requires_grad=True)
    loss = LINKS[name](x)
    (slope,) = torch.autograd.grad(loss.sum(), x)
    assert loss.isfinite().all()
    assert slope.isfinite().all()


def test_logistic_is_log_two_at_zero_and_linear_far_below():
    x = torch.tensor([0.0, -1e4], dtype=torch.float64)
    assert links.logistic(x).tolist() == pytest.approx([math.log(2), 1e4], abs=1e-12)


def test_smoothed_logistic_has_its_minimum_at_the_log_odds_of_the_label():
    """d/dx = σ(x) − (1 − ε) vanishes at log((1 − ε)/ε): log 4 for ε = 0.2."""
    x = torch.tensor([math.log(4)], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(links.logistic(x, 0.2).sum(), x)
    assert slope.item() == pytest.approx(0.0, abs=1e-12)


def test_the_negative_sigmoid_is_bounded_where_the_logistic_loss_is_not():
    """−1/2 at 0; −σ(log 3) = −3/4, of slope −σ(x) σ(−x) = −3/16; with its mirror image it adds up to −1."""
    x = torch.tensor([0.0, math.log(3), -1e4, 1e4], dtype=torch.float64, requires_grad=True)
    loss = links.negative_sigmoid(x)
    (slope,) = torch.autograd.grad(loss.sum(), x)
    assert loss.tolist() == pytest.approx([-0.5, -0.75, 0, -1], abs=1e-12)
    assert slope.tolist() == pytest.approx([-1 / 4, -3 / 16, 0, 0], abs=1e-12)
    assert (loss + links.negative_sigmoid(-x)).tolist() == pytest.approx([-1] * 4, abs=1e-12)


def test_exo_vanishes_where_the_model_gives_the_smoothed_labels():
    """KL is 0 at σ(x) = 1 − ε, and positive elsewhere."""
    x = torch.tensor([math.log(0.9 / 0.1), 0.0, 3.0], dtype=torch.float64)
    loss = links.exo(x, 0.1)
    assert loss[0].item() == pytest.approx(0.0, abs=1e-12)
    assert (loss[1:] > 0.01).all()


def test_robust_is_unbiased_under_label_noise():
    """E over flips of robust(x) is the clean loss: (1 − ε) r(x) + ε r(−x) = −log σ(x)."""
    x = torch.linspace(-4, 4, 9, dtype=torch.float64)
    noisy = 0.7 * links.robust(x, 0.3) + 0.3 * links.robust(-x, 0.3)
    torch.testing.assert_close(noisy, links.logistic(x), atol=1e-12, rtol=0)


def test_discopop_blends_logistic_and_exponential():
    """At 0 the blend is even: ½ log 2 + ½. Far below it is logistic, far above exponential."""
    x = torch.tensor([0.0, -2.0, 2.0], dtype=torch.float64)
    expected = [0.5 * math.log(2) + 0.5, math.log1p(math.exp(2.0)), math.exp(-2.0)]
    assert links.discopop(x, 0.05).tolist() == pytest.approx(expected, abs=1e-9)
