"""Rewards that need no reference. `logps` are (B,) log-probabilities per token in nats, at most 0."""

from __future__ import annotations

import torch
from torch import Tensor


def alpha_reward(logps: Tensor, alpha: float) -> Tensor:
    """AlphaPO (arXiv 2501.03884): (1 − p^{−α}) / α of the probability per token; α → 0 is the log-probability."""
    if alpha == 0:
        return logps
    # p^{−α} of an unlikely response overflows; past e^80 the reward is flat, so that differences stay finite.
    return -torch.expm1(torch.clamp(-alpha * logps, max=80.0)) / alpha


def log_odds(logps: Tensor) -> Tensor:
    """ORPO (arXiv 2403.07691) eq. 4: log(p / (1 − p)) of the probability per token."""
    # A certain response (p = 1) has infinite odds; it is taken for the largest probability below 1.
    below = torch.clamp(logps, max=-torch.finfo(logps.dtype).eps)
    return below - torch.log(-torch.expm1(below))
