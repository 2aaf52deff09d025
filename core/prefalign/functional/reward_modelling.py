"""Losses that fit rewards to comparisons and ratings.

`difference` is the reward of the chosen response less that of the rejected one, (B,). All losses but `centring` are in
nats.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry(difference: Tensor, margin: float | Tensor = 0.0) -> Tensor:
    """(B,) −log σ(Δ − margin): Bradley–Terry with the margin of Llama 2 (arXiv 2307.09288) eq. 2."""
    return -logsigmoid(difference - margin)


def noisy_bradley_terry(difference: Tensor, noise: float, margin: float | Tensor = 0.0) -> Tensor:
    """(B,) −log(noise/2 + (1 − noise) σ(Δ − margin)): a judge who answers at random with probability `noise`.

    Christiano et al. (arXiv 1706.03741) section 2.2.3, with noise 0.1. Unlike label smoothing it is bounded: no pair
    costs more than log(2/noise).

    Args:
        difference: (B,).
        noise: 0 < noise < 1.
        margin: required difference.
    """
    guess = difference.new_tensor(math.log(noise / 2))
    return -torch.logaddexp(guess, math.log1p(-noise) + logsigmoid(difference - margin))


def rao_kupper(difference: Tensor, tie: Tensor, k: float, margin: float | Tensor = 0.0) -> Tensor:
    """(B,) Bradley–Terry with ties (Rao and Kupper, 1967): P(win) = σ(Δ − log k), P(tie) = 1 − P(win) − P(lose).

    Args:
        difference: (B,).
        tie: (B,) bool.
        k: above 1; two equal rewards tie with probability (k − 1)/(k + 1).
        margin: required of wins on top of log k; ties know none.
    """
    threshold = math.log(k)
    win, lose = logsigmoid(difference - threshold), logsigmoid(-difference - threshold)
    # 1 − P(win) − P(lose) = (k² − 1) · P(win) · P(lose), which has an accurate logarithm.
    return torch.where(tie, -win - lose - math.log(k * k - 1), -logsigmoid(difference - threshold - margin))


def centring(chosen: Tensor, rejected: Tensor) -> Tensor:
    """(B,) squared sum of both rewards (arXiv 2312.09244) eq. 2: keeps the rewards about 0."""
    return (chosen + rejected) ** 2


def gaussian(mean: Tensor, variance: Tensor, *, log_inside: bool, nodes: int = 32) -> Tensor:
    """(B,) loss of a preference whose reward difference z is Gaussian, by Gauss–Hermite quadrature.

    −log E[σ(z)], or E[−log σ(z)] with `log_inside`. The second never falls with the variance (−log σ is convex), so
    only the first lets a model say that it is unsure.

    Args:
        mean: (B,) mean of z.
        variance: (B,) variance of z, at least 0.
        log_inside: take the logarithm before the expectation.
        nodes: quadrature points. With 32 the error is below 1e-12 for a standard deviation of z of 1, 1e-6 for 2,
            1e-4 for 3 and 2e-3 for 5.
    """
    points, log_weights = _hermite(nodes)
    z = _spread(mean, variance, torch.tensor(points, dtype=mean.dtype, device=mean.device))
    weights = torch.tensor(log_weights, dtype=mean.dtype, device=mean.device)
    return _expectation(logsigmoid(z), weights, log_inside)


def gaussian_sampled(
    mean: Tensor, variance: Tensor, *, log_inside: bool, samples: int, generator: torch.Generator | None = None
) -> Tensor:
    """(B,) the same as `gaussian` by Monte Carlo with reparameterised draws: the form that HPSv3 released (1000 draws).

    Draws are made in the dtype of `mean`, which should not be half precision.
    """
    noise = torch.randn(samples, *mean.shape, dtype=mean.dtype, device=mean.device, generator=generator)
    z = mean.unsqueeze(-1) + _deviation(variance).unsqueeze(-1) * noise.movedim(0, -1)
    return _expectation(logsigmoid(z), torch.full_like(z[..., :1], -math.log(samples)), log_inside)


def _expectation(log_probability: Tensor, log_weights: Tensor, log_inside: bool) -> Tensor:
    if log_inside:
        return -(log_weights.exp() * log_probability).sum(-1)
    return -torch.logsumexp(log_weights + log_probability, dim=-1)


def _spread(mean: Tensor, variance: Tensor, points: Tensor) -> Tensor:
    return mean.unsqueeze(-1) + math.sqrt(2) * _deviation(variance).unsqueeze(-1) * points


def _deviation(variance: Tensor) -> Tensor:
    # The square root has an infinite slope at 0; 1e-12 moves the loss by less than 1e-12.
    return torch.sqrt(variance.clamp(min=1e-12))


@lru_cache
def _hermite(nodes: int) -> tuple[list[float], list[float]]:
    """Points and log weights for E f(z) = Σ exp(log weight) · f(mean + √2 · deviation · point)."""
    points, weights = np.polynomial.hermite.hermgauss(nodes)
    return points.tolist(), (np.log(weights) - 0.5 * math.log(math.pi)).tolist()
