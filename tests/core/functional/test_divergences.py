"""f-divergences against their definitions f'(u) at u = exp(x)."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.functional.divergences import DIVERGENCES, alpha_divergence, forward_kl, reverse_kl

#: f'(u) with f'(1) = 0.
DEFINITIONS = {
    "reverse_kl": math.log,
    "forward_kl": lambda u: 1 - 1 / u,
    "js_divergence": lambda u: math.log(2 * u / (1 + u)),
    "alpha_divergence": lambda u: (u**-0.5 - 1) / -0.5,
}


@pytest.mark.parametrize("name", DIVERGENCES)
def test_is_the_derivative_of_its_f(name):
    ratios = [-2.0, -0.1, 0.0, 0.7, 3.0]
    expected = [DEFINITIONS[name](math.exp(x)) for x in ratios]
    assert DIVERGENCES[name](torch.tensor(ratios, dtype=torch.float64)).tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_gradient_and_extremes(name):
    """All are increasing, have slope 1 at u = 1 (f''(1) = 1, for Jensen–Shannon ½), and stay finite in float32."""
    x = torch.tensor([-0.5, 0.0, 1.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(DIVERGENCES[name], x)
    (slope,) = torch.autograd.grad(DIVERGENCES[name](x).sum(), x)
    assert (slope > 0).all()
    assert slope[1].item() == pytest.approx(0.5 if name == "js_divergence" else 1.0, abs=1e-12)
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    value = DIVERGENCES[name](far)
    (slope,) = torch.autograd.grad(value.sum(), far)
    assert value.isfinite().all()
    assert slope.isfinite().all()


def test_alpha_joins_both_kl_divergences():
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)
    torch.testing.assert_close(alpha_divergence(x, 0.0), forward_kl(x))
    torch.testing.assert_close(alpha_divergence(x, 1.0), reverse_kl(x))
    torch.testing.assert_close(alpha_divergence(x, 1 + 2e-6), reverse_kl(x), atol=1e-4, rtol=0)
