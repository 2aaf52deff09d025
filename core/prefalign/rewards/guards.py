"""Guard-rails: a reward that counts only where the response is whole."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from prefalign.interfaces import Batch, PrefalignError, Reward, RewardOutput
from prefalign.rewards.combine import Combined, side_by_side


class Guarded(Combined):
    """A reward behind floors of quality, so that no policy buys the target by breaking what it was not asked for.

    A sum lets more of the target pay for silence, clipping or wrong notes; a floor does not. Where a guard's criterion
    is below its floor, the reward says nothing of the row:

    - with `value`, the row is worth that. It loses every comparison, so that tuning learns to leave such responses;
    - without, the row is not valid. It is in no pair and never chosen, and tuning never meets it.

    A row that a guard could not judge is not known to be whole and is not valid either way. Whole responses are judged:
    rewards per step are summed over their steps first.

    Args:
        reward: the target; its criteria are those of the whole.
        guards: judge quality, more being better.
        floors: the lowest number that passes, one for each criterion of each guard, in order; None for a criterion that
            is no guard.
        value: of a row below a floor, in all criteria and with variance 0: less than the reward ever gives. None makes
            the row invalid.

    Raises:
        PrefalignError: without a guard or a floor, for another number of floors, or numbers that are not finite.
    """

    floors: Tensor
    value: Tensor

    def __init__(
        self, reward: Reward, guards: list[Reward], floors: list[float | None], value: float | None = None
    ) -> None:
        super().__init__([reward, *guards])
        names = [name for guard in guards for name in guard.criteria]
        if len(floors) != len(names):
            raise PrefalignError(f"expected {len(names)} floors, one each for {names}; got {len(floors)}")
        given = [floor for floor in floors if floor is not None]
        if not given:
            raise PrefalignError("Guarded needs at least one guard with a floor")
        if not all(map(math.isfinite, [*given, *([] if value is None else [value])])):
            raise PrefalignError(f"expected finite floors and value, got {floors} and {value}")
        self.criteria, self.differentiable = tuple(reward.criteria), reward.differentiable
        # Buffers, so that other floors are another reward in a builder's manifest.
        self.register_buffer("floors", torch.tensor([-math.inf if floor is None else floor for floor in floors]))
        self.register_buffer("value", torch.tensor(math.nan if value is None else value))

    def forward(self, batch: Batch) -> RewardOutput:
        """(N, C). Below a floor it does not matter, with `value`, whether the reward could judge the row."""
        target, *guards = [output.totals() for output in self.members(batch)]
        seen = side_by_side(guards)
        # A criterion without a floor passes even where it is no number; any other number that is none does not.
        passed = (self.floors.isneginf() | (seen.mean.float() >= self.floors)).all(-1)
        if self.value.isnan():
            return RewardOutput(target.mean, target.valid & seen.valid & passed, target.variance)
        rows = passed.unsqueeze(-1)
        mean = target.mean.where(rows, self.value.to(target.mean.dtype))
        variance = None if target.variance is None else target.variance.where(rows, 0.0)
        return RewardOutput(mean, seen.valid & (target.valid | ~passed), variance)
