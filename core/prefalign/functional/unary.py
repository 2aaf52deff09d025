"""Losses of single responses that are known to be desirable or not.

`rewards` are implicit rewards β · log ratio (n,), `desirable` (n,) bool.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def signed(rewards: Tensor, desirable: Tensor) -> Tensor:
    """(n,) rewards, with their sign changed where the response is undesirable."""
    return torch.where(desirable, rewards, -rewards)


def prospect(rewards: Tensor, desirable: Tensor, baseline: float | Tensor = 0.0) -> Tensor:
    """(n,) losses of KTO (arXiv 2402.01306) eq. 7 in (0, 1): 1 − σ(r − z) if desirable, 1 − σ(z − r) if not.

    Without baseline, the unpaired form of APO-zero (arXiv 2408.06266) eq. 7.
    """
    return torch.sigmoid(-signed(rewards - baseline, desirable))


def classifier(rewards: Tensor, desirable: Tensor, shift: float | Tensor = 0.0) -> Tensor:
    """(n,) losses of BCO (arXiv 2404.04656) in nats: a logistic classifier of rewards about their running mean."""
    return -logsigmoid(signed(rewards - shift, desirable))
