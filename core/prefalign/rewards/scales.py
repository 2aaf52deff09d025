"""Rewards on another scale, so that what is combined weighs alike."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from prefalign.interfaces import Batch, PrefalignError, Reward, RewardOutput, unknown_name
from prefalign.rewards.combine import Combined


class Rescaled(Combined):
    """The affine map of all criteria of a reward from one range onto another; the variance follows.

    MusicRL (arXiv 2402.04229) so brings the mean opinion score of sound quality from [1, 5] to [0, 1] before it adds
    it to a similarity. `Weighted` maps as well, but knows no range: a predictor that leaves its own would outweigh the
    rest.

    Args:
        reward: what is mapped.
        source: lowest and highest value that the reward is meant to give.
        target: what they become; the first may be the higher one, for criteria of which less is better.
        outside: what is said of a response beyond `source`: `clamp` takes the nearest end (its gradient is 0 and the
            variance stays), `invalid` that it could not be judged.

    Raises:
        PrefalignError: for ranges that are empty or not finite, or an unknown `outside`.
    """

    ranges: Tensor

    def __init__(
        self,
        reward: Reward,
        source: tuple[float, float],
        target: tuple[float, float] = (0.0, 1.0),
        outside: Literal["clamp", "invalid"] = "clamp",
    ) -> None:
        super().__init__([reward])
        if not all(map(math.isfinite, (*source, *target))) or not source[0] < source[1] or target[0] == target[1]:
            raise PrefalignError(
                f"expected a source of a lower and a higher number and a target of two that differ, got "
                f"{list(source)} and {list(target)}"
            )
        if outside not in ("clamp", "invalid"):
            raise unknown_name("outside", outside, ("clamp", "invalid"))
        self.criteria, self.outside = tuple(reward.criteria), outside
        # A buffer, so that another range is another reward in a builder's manifest.
        self.register_buffer("ranges", torch.tensor([source, target]))

    def forward(self, batch: Batch) -> RewardOutput:
        """(N, C) or (N, T, C)."""
        (found,) = self.members(batch)
        (low, high), (bottom, top) = self.ranges.to(found.mean)
        slope = (top - bottom) / (high - low)
        inside = (found.mean >= low) & (found.mean <= high)
        if found.mask is not None:
            inside = inside | ~found.mask.unsqueeze(-1)
        valid = found.valid & inside.flatten(1).all(1) if self.outside == "invalid" else found.valid
        mean = bottom + slope * (found.mean.clamp(low, high) - low)
        variance = None if found.variance is None else slope**2 * found.variance
        return RewardOutput(mean, valid, variance, found.mask)
