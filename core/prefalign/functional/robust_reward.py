"""Robust reward learning of PEARL (arXiv 2306.03615): rewards are Gaussian, and training draws from them.

`difference` is the mean reward of the chosen response less that of the rejected one, (B,). Losses are in nats.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def sampled_cross_entropy(
    difference: Tensor, variance: Tensor, probability: Tensor, noise: Tensor, margin: float | Tensor = 0.0
) -> Tensor:
    """(B,) mean over K draws z_k = Δ + √variance · ε_k of −p log σ(z_k − margin) − (1 − p) log σ(−z_k − margin).

    Both judgements are weighed on the same draw, so that p = 1/2 is symmetric in every draw and not only on average.
    The sum of independent Gaussian rewards per step is Gaussian, so one ε for each pair stands for one for each step.

    Args:
        difference: (B,).
        variance: (B,) variance of the difference, at least 0.
        probability: (B,) P(chosen is better).
        noise: (K, B) standard normal.
        margin: required difference, in either order.
    """
    # The square root has an infinite slope at 0; 1e-12 moves a draw by some 1e-6.
    drawn = difference + torch.sqrt(variance.clamp(min=1e-12)) * noise
    chosen, rejected = logsigmoid(drawn - margin), logsigmoid(-drawn - margin)
    return -(probability * chosen + (1 - probability) * rejected).mean(0)


def gaussian_entropy(variance: Tensor) -> Tensor:
    """Differential entropy h = ½ log(2πe·variance) of Gaussians, in nats, of the variance's shape.

    Args:
        variance: above 0; below 1e-12 the entropy of 1e-12 is given.
    """
    return 0.5 * torch.log(variance.clamp(min=1e-12)) + 0.5 * math.log(2 * math.pi * math.e)


def entropy_shortfall(variance: Tensor, floor: float) -> Tensor:
    """max(0, η − h): what the entropy of a Gaussian lacks to the floor η, in nats, of the variance's shape.

    The draws alone would teach certainty (−log σ is convex, so its mean never falls with the variance); this term is
    what keeps a reward unsure.
    """
    return torch.relu(floor - gaussian_entropy(variance))
