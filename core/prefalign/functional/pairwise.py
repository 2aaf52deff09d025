"""Losses of a pair that are no function of the margin alone.

`chosen` and `rejected` are implicit rewards βs of shape (B,), where s is the log ratio of policy and reference in nats.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def nca(chosen: Tensor, rejected: Tensor) -> Tensor:
    """NCA for pairs (arXiv 2402.05369), K = 2."""
    return -logsigmoid(chosen) - 0.5 * logsigmoid(-chosen) - 0.5 * logsigmoid(-rejected)


def bco(chosen: Tensor, rejected: Tensor, shift: float | Tensor = 0.0) -> Tensor:
    """BCO (arXiv 2404.04656) of both ends of a pair; `shift` is the running mean reward, 0 in TRL since 0.29."""
    return -logsigmoid(chosen - shift) - logsigmoid(-(rejected - shift))


def sppo_hard(chosen: Tensor, rejected: Tensor, target: float) -> Tensor:
    """SPPO (arXiv 2405.00675) eq. 4.7 with win probabilities 1 and 0: both log ratios are regressed on ±target.

    Takes log ratios (not rewards); target = 1/(2β).
    """
    return (chosen - target) ** 2 + (rejected + target) ** 2


def apo_zero(chosen: Tensor, rejected: Tensor) -> Tensor:
    """APO-zero (arXiv 2408.06266) eq. 7: raises the chosen likelihood, lowers the rejected one."""
    return torch.sigmoid(-chosen) + torch.sigmoid(rejected)


def apo_down(chosen: Tensor, rejected: Tensor) -> Tensor:
    """APO-down (arXiv 2408.06266) eq. 8: lowers both likelihoods, the rejected one more."""
    return torch.sigmoid(chosen) + torch.sigmoid(rejected - chosen)


def sorted_difference(first: Tensor, second: Tensor) -> Tensor:
    """(B,) differences of order statistics, smallest first: the optimal coupling of two samples on a line.

    AOT (arXiv 2406.05882), unpaired (rewards of chosen and of rejected) and its paired form (policy's and
    reference's log ratios). Position i belongs to no particular pair.
    """
    return first.sort(dim=0).values - second.sort(dim=0).values
