"""Losses of whole rankings."""

from __future__ import annotations

import torch
from torch import Tensor


def plackett_luce(scores: Tensor, ranks: Tensor, lists: Tensor) -> Tensor:
    """Negative log-likelihood of rankings under the Plackett–Luce model, item by item, in nats.

    DPO (arXiv 2305.18290) eq. 20 with scores β · log ratio. An item competes with all items of its list that are not
    better. Equal ranks are treated as Breslow treats tied failure times: each tied item competes with the same set,
    the others of its rank included, so a tie is likeliest where its scores are equal.

    Args:
        scores: (n,) rewards.
        ranks: (n,) 0 is best.
        lists: (n,) which list an item is in.

    Returns:
        (n,) losses; a list's loss is the sum over its items. The last item, if it is alone on its rank, has loss 0.
    """
    if not len(scores):  # a maximum over nothing is an error
        return scores
    competing = (lists.unsqueeze(1) == lists) & (ranks.unsqueeze(1) <= ranks)
    against = torch.where(competing, scores, torch.full_like(scores, -torch.inf))
    return torch.logsumexp(against, dim=1) - scores
