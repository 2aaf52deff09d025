"""A depth buffer: of all that covers a sample, the nearest is kept."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: Levels of nearness. With an index in the 31 bits below it a nearness fits 63 bits, so one maximum is the whole test.
_LEVELS = (1 << 32) - 1
_INDEX = (1 << 31) - 1


class Seen(NamedTuple):
    """What a buffer holds.

    Attributes:
        kept: (n,) int64 index of what is nearest, -1 where nothing is.
        nearness: (n,) float64 its nearness.
    """

    kept: Tensor
    nearness: Tensor


class NearestBuffer:
    """The nearest thing at each of n samples; of things equally near the one of lowest index, in any order."""

    def __init__(self, count: int, device: torch.device) -> None:
        self._held = torch.full((count,), -1, dtype=torch.int64, device=device)

    def add(self, sample: Tensor, nearness: Tensor, index: Tensor) -> None:
        """Offer m things.

        Args:
            sample: (m,) int64 where.
            nearness: (m,) float64, 0 to 1, larger is nearer.
            index: (m,) int64, below 2³¹.
        """
        # 0 would be infinitely far, and so not there.
        level = (nearness * _LEVELS).round().clamp(1, _LEVELS).long()
        self._held.scatter_reduce_(0, sample, (level << 31) | (_INDEX - index), "amax")

    def seen(self) -> Seen:
        """What is nearest."""
        there = self._held >= 0
        index = torch.where(there, _INDEX - (self._held & _INDEX), -1)
        return Seen(index, (self._held >> 31).clamp(min=0).double() / _LEVELS)


__all__ = ["NearestBuffer", "Seen"]
