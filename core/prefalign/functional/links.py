"""Links: from a margin to a loss.

A margin x (any shape, in units of reward) is positive where the pair is ranked as judged. Every function is
elementwise, differentiable almost everywhere, and finite for |x| up to 1e4 wherever its own value is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def logistic(margin: Tensor, smoothing: float | Tensor = 0.0) -> Tensor:
    """Cross-entropy of a label that is wrong with probability `smoothing`, in nats.

    DPO (arXiv 2305.18290) eq. 7 at 0; conservative DPO (the same group's note on cDPO) above 0.
    """
    return -(1 - smoothing) * logsigmoid(margin) - smoothing * logsigmoid(-margin)


def hinge(margin: Tensor) -> Tensor:
    """SLiC-HF (arXiv 2305.10425), with the reward's scale taken into the margin: max(0, 1 − x)."""
    return torch.relu(1 - margin)


def squared(margin: Tensor, target: float) -> Tensor:
    """IPO (arXiv 2310.12036) eq. 17: (x − target)², target 1/(2β)."""
    return (margin - target) ** 2


def negative_sigmoid(margin: Tensor) -> Tensor:
    """−σ(x), of DeformPAM's code (arXiv 2410.11584), in (−1, 0): the share of pairs ranked rightly, made smooth.

    Where the logistic loss grows without bound, this one lets go of pairs that it ranks far wrong, as if their labels
    were errors. With its mirror image it adds up to −1, so that ties have no gradient.
    """
    return -torch.sigmoid(margin)


def exo(margin: Tensor, smoothing: float) -> Tensor:
    """EXO for pairs (arXiv 2402.00856) eq. 16: KL(σ(x), σ(−x) ‖ 1 − ε, ε), in nats; 0 < ε < 1."""
    log_win, log_lose = logsigmoid(margin), logsigmoid(-margin)
    return log_win.exp() * (log_win - math.log1p(-smoothing)) + log_lose.exp() * (log_lose - math.log(smoothing))


def robust(margin: Tensor, smoothing: float) -> Tensor:
    """Robust DPO (arXiv 2403.00409): unbiased under labels flipped with probability ε < 1/2."""
    flipped = -logsigmoid(-margin)
    return ((1 - smoothing) * -logsigmoid(margin) - smoothing * flipped) / (1 - 2 * smoothing)


def discopop(margin: Tensor, tau: float) -> Tensor:
    """Log-ratio modulated loss (DiscoPOP, arXiv 2406.08414) eq. 5: (1 − m)(−log σ(x)) + m e^{−x} with m = σ(x/τ).

    Logistic for pairs ranked wrongly, exponential for the others; 0 < τ <= 1.
    """
    # m e^{−x} as one exponential: for very negative x the factors are 0 and infinity, their product is 0.
    return torch.sigmoid(-margin / tau) * -logsigmoid(margin) + torch.exp(logsigmoid(margin / tau) - margin)
