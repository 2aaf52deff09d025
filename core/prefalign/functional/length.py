"""What a response's length does to its score."""

from __future__ import annotations

import torch
from torch import Tensor


def shorten(weights: Tensor, mask: Tensor, shared: Tensor, alpha: float) -> Tensor:
    """(B, T) token weights, those of the tokens after the first `shared` ones times α: LD-DPO (arXiv 2409.06411).

    Args:
        weights: (B, T) weight of each token.
        mask: (B, T) bool, the response's tokens, wherever they start.
        shared: (B,) length of the shorter response of the pair.
        alpha: 1 leaves the score alone, 0 ignores what only the longer response has.
    """
    position = mask.long().cumsum(dim=-1)
    return torch.where(position <= shared.unsqueeze(-1), weights, alpha * weights)


def per_unit(total: Tensor, lengths: Tensor) -> Tensor:
    """Totals (B,) divided by their number of units (B,); a response without units counts as one unit."""
    return total / lengths.clamp(min=1)
