"""Sums over all ranks of a distributed run; with one process, the local ones."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def sum_over_ranks(values: Tensor) -> Tensor:
    """The elementwise sum of the ranks' tensors of one shape, without gradient. All ranks must call it together."""
    total = values.detach().clone()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
    return total


def mean_over_ranks(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and number of the (n,) values of all ranks, each rank with an n of its own; the mean of none is 0."""
    total, count = sum_over_ranks(torch.stack([values.sum(), values.new_tensor(float(values.numel()))])).unbind()
    return total / count.clamp(min=1), count
