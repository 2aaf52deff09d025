"""Distributions of the noise level, as functions of a uniform number: what is replayed is one number per draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Levels:
    """How noise levels u in [0, 1] are drawn.

    Attributes:
        distribution: `uniform` between `low` and `high`; `logit_normal`, sigmoid of a normal number (arXiv 2403.03206
            eq. 19); `fixed`, one of `values` (few-step models are tuned at their own few levels).
        mean, std: of the normal number.
        low, high: bounds, applied to every distribution.
        values: the levels of `fixed`.

    Raises:
        ValueError: for bounds that are not 0 <= low < high <= 1, a std that is not positive, or values outside [0, 1].
    """

    distribution: Literal["uniform", "logit_normal", "fixed"] = "uniform"
    mean: float = 0.0
    std: float = 1.0
    low: float = 0.0
    high: float = 1.0
    values: Sequence[float] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise ValueError(f"expected noise levels 0 <= low < high <= 1, got {self.low} and {self.high}")
        if not self.std > 0:
            raise ValueError(f"expected std > 0, got {self.std}")
        if (self.distribution == "fixed") != bool(self.values) or not all(0 <= v <= 1 for v in self.values):
            raise ValueError(f"expected values in [0, 1] with the fixed distribution only, got {list(self.values)}")

    def quantile(self, uniform: Tensor) -> Tensor:
        """(N,) float32 levels of (N,) uniform numbers in [0, 1)."""
        uniform = uniform.double()
        if self.distribution == "fixed":
            values = torch.tensor(self.values, dtype=torch.float32, device=uniform.device)
            return values[(uniform * len(values)).long()]
        if self.distribution == "logit_normal":
            # Away from 0, whose normal quantile is infinite.
            normal = math.sqrt(2) * torch.erfinv(2 * uniform.clamp(min=2**-53) - 1)
            uniform = torch.sigmoid(self.mean + self.std * normal)
            return uniform.clamp(self.low, self.high).float()
        return (self.low + (self.high - self.low) * uniform).float()
