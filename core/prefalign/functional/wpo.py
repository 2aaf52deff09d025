"""WPO (arXiv 2406.11827): weights that make off-policy pairs count like on-policy ones."""

from __future__ import annotations

import torch
from torch import Tensor


def confidence(token_logps: Tensor, collision: Tensor, mask: Tensor) -> Tensor:
    """(N,) weight of a response: geometric mean over its tokens of p(token) / Σ_v p(v)², detached.

    Eq. 2 with the sampled alignment of section 3.2: the denominator is what a token drawn from the policy itself would
    have on average, so an on-policy response weighs about 1.

    Args:
        token_logps: (N, T) log-probabilities in nats.
        collision: (N, T) log Σ_v p(v)².
        mask: (N, T) bool.
    """
    aligned = ((token_logps - collision).detach() * mask).sum(-1) / mask.sum(-1).clamp(min=1)
    return torch.exp(aligned)
