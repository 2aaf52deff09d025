"""Standardisation of inputs whose units are the task's own."""

from __future__ import annotations

import torch
from torch import Tensor

from prefalign.objectives.state import ExactBuffers

#: So many steps of behaviour settle the scale.
ENOUGH_STEPS = 10_000


class Scale(ExactBuffers):
    """Numbers less their mean, over their deviation, both measured on the first 10,000 steps met in training.

    After that nothing changes any more, and what was measured is saved with the weights. Numbers that do not vary are
    centred only. It is measured in training rather than by a pass over the data, so that all members of an ensemble and
    every run from a configuration file have one without being asked.

    Args:
        size: F, how many numbers a step has.

    Attributes:
        count: () steps measured so far.
        mean, squares: (F,) their mean, and the sum of squared distances from it.
        settled: () bool, whether nothing is measured any more.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor
    settled: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("squares", torch.zeros(size))
        self.register_buffer("settled", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def measure(self, values: Tensor, mask: Tensor) -> None:
        """Add the steps of (N, T, F) values that exist, by `mask` (N, T), to what was measured."""
        steps = values[mask].float()
        if not len(steps):
            return
        mean = steps.mean(0)
        total, shift = self.count + len(steps), mean - self.mean
        # Chan, Golub and LeVeque (1979): squares of two sets about their common mean.
        self.squares += ((steps - mean) ** 2).sum(0) + shift**2 * (self.count * len(steps) / total)
        self.mean += shift * (len(steps) / total)
        self.count.copy_(total)

    @property
    def deviation(self) -> Tensor:
        """(F,) standard deviations; 1 for numbers that do not vary beyond rounding."""
        found = torch.sqrt(self.squares / self.count.clamp(min=1))
        return torch.where(found > 1e-6 * (1 + self.mean.abs()), found, 1.0)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """(N, T, F) standardised values; in training they are measured first, until the scale has settled."""
        if self.training and not self.settled:
            self.measure(values, mask)
            self.settled.copy_(self.count >= ENOUGH_STEPS)
        return (values - self.mean) / self.deviation
