"""Rewards made of rewards: ensembles, weighted sums, products and gates.

A row that could not be judged never counts as zero. Rewards per step are combined step by step, unless some members
judge whole responses only: then the others are summed over their steps first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from prefalign.interfaces import Batch, PrefalignError, Reward, RewardOutput
from prefalign.rewards.joint import JointCodec


class Combined(Reward):
    """Base of the combinations.

    Args:
        rewards: the members. They may read records in different ways.

    Raises:
        PrefalignError: without a member.
    """

    codec: JointCodec

    def __init__(self, rewards: list[Reward]) -> None:
        super().__init__()
        if not rewards:
            raise PrefalignError(f"{type(self).__name__} needs at least one reward")
        self.rewards = cast(list[Reward], nn.ModuleList(rewards))
        self.codec = JointCodec([reward.codec for reward in rewards])
        self.differentiable = all(reward.differentiable for reward in rewards)

    def configure_model(self) -> None:
        """Load or build the weights of every member."""
        for reward in self.rewards:
            reward.configure_model()

    def members(self, batch: Batch) -> list[RewardOutput]:
        """What each member says of the N rows; all per step or all per response."""
        outputs = [reward(self.codec.part(batch, index)) for index, reward in enumerate(self.rewards)]
        return outputs if all(output.mask is not None for output in outputs) else [o.totals() for o in outputs]

    def save_pretrained(self, folder: Path) -> None:
        """Write the members that have weights, each into a folder of its number."""
        for index, reward in enumerate(self.rewards):
            save = getattr(reward, "save_pretrained", None)
            if save is not None:
                save(folder / str(index))


@dataclass
class Mixture(RewardOutput):
    """The judgement of M equally trusted members; see `mixture`.

    Attributes:
        parts: the members' own judgements.
    """

    parts: tuple[RewardOutput, ...] = ()

    def totals(self) -> RewardOutput:
        """The mixture of the members' totals. What a member gets wrong it gets wrong at every step, so the members'
        spread over a segment is not the sum of their spreads at its steps."""
        return self if self.mask is None else mixture([part.totals() for part in self.parts])

    def _map(self, change: Callable[[Tensor], Tensor]) -> Mixture:
        return mixture([part._map(change) for part in self.parts])


def mixture(parts: Sequence[RewardOutput]) -> Mixture:
    """Mean and variance of a draw from a member picked at random.

    The variance is that of the members' means (epistemic) plus the mean of the members' variances (aleatoric). Members
    that could not judge a row have no part in it; a row that none could judge is not valid.
    """
    means = torch.stack([part.mean for part in parts])
    valid = torch.stack([part.valid for part in parts])
    judged = valid.reshape(*valid.shape, *(1,) * (means.dim() - 2)).expand_as(means)
    share = judged / judged.sum(0).clamp(min=1)
    # An invalid value may be NaN, and NaN times 0 is NaN.
    means = means.where(judged, 0.0)
    mean = (share * means).sum(0)
    variance = (share * (means - mean) ** 2).sum(0)
    for weight, part, used in zip(share, parts, judged, strict=True):
        if part.variance is not None:
            variance = variance + weight * part.variance.where(used, 0.0)
    return Mixture(mean, valid.any(0), variance, parts[0].mask, tuple(parts))


class Ensemble(Combined):
    """Rewards of the same criteria that are trusted equally; where they disagree, the variance says so.

    In training each member has its own loss, so that they stay independent; let them differ in their seeds.

    Args:
        rewards: the members.

    Raises:
        PrefalignError: if their criteria differ.
    """

    def __init__(self, rewards: list[Reward]) -> None:
        super().__init__(rewards)
        self.criteria = tuple(rewards[0].criteria)
        for index, reward in enumerate(rewards):
            if tuple(reward.criteria) != self.criteria:
                raise PrefalignError(
                    f"the members of an ensemble judge by the same criteria, but rewards[0] has {list(self.criteria)} "
                    f"and rewards[{index}] {list(reward.criteria)}"
                )

    def forward(self, batch: Batch) -> Mixture:
        """(N, C) or (N, T, C) mean and variance of the members' mixture."""
        return mixture(self.members(batch))


class Weighted(Combined):
    """The weighted sum of all criteria of all members, Σ w·r + bias.

    One multi-criteria reward with a direction as weights is the projection of arXiv 2402.18571; one reward with weight
    1/s and bias −m/s is the standardised reward.

    Args:
        rewards: the members.
        weights: one for each criterion of each member, in order; all 1 if None.
        bias: added to the sum.

    Raises:
        PrefalignError: for another number of weights, or a number that is not finite.
    """

    def __init__(self, rewards: list[Reward], weights: list[float] | None = None, bias: float = 0.0) -> None:
        super().__init__(rewards)
        names = [name for reward in rewards for name in reward.criteria]
        self.weights = [1.0] * len(names) if weights is None else list(weights)
        if len(self.weights) != len(names):
            raise PrefalignError(f"expected {len(names)} weights, one each for {names}; got {len(self.weights)}")
        if not all(map(math.isfinite, [*self.weights, bias])):
            raise PrefalignError(f"expected finite weights and bias, got {self.weights} and {bias}")
        self.bias = bias

    def forward(self, batch: Batch) -> RewardOutput:
        """(N, 1) or (N, T, 1); members that give variances count as independent, the others as certain."""
        all_ = side_by_side(self.members(batch))
        weights = all_.mean.new_tensor(self.weights)
        variance = None if all_.variance is None else (all_.variance * weights**2).sum(-1, keepdim=True)
        return RewardOutput((all_.mean * weights).sum(-1, keepdim=True) + self.bias, all_.valid, variance, all_.mask)


class Product(Combined):
    """The product of all criteria of all members, as in arXiv 2402.03469 (relevance × length × non-repetition)."""

    def forward(self, batch: Batch) -> RewardOutput:
        """(N, 1) or (N, T, 1); the variance is that of a product of independent factors, Π(v + m²) − Π m²."""
        all_ = side_by_side(self.members(batch))
        squares, variance = all_.mean**2, None
        if all_.variance is not None:
            variance = (all_.variance + squares).prod(-1, keepdim=True) - squares.prod(-1, keepdim=True)
        return RewardOutput(all_.mean.prod(-1, keepdim=True), all_.valid, variance, all_.mask)


class Gated(Combined):
    """Aspects count only for responses that are good as a whole (ALaRM, arXiv 2403.06754).

    w·h where the holistic reward h is below the threshold, w·h + Σ σ(aspect) elsewhere. It has no variance: where the
    gate is in doubt the sum has two humps.

    Args:
        holistic: its first criterion is h, which ALaRM standardises first (see `Weighted`).
        aspects: all their criteria count.
        threshold: of h; ALaRM takes 0.5 for translation and 0.6 for long answers.
        weight: w; ALaRM takes 3 or 5.
    """

    def __init__(self, holistic: Reward, aspects: list[Reward], threshold: float = 0.5, weight: float = 1.0) -> None:
        super().__init__([holistic, *aspects])
        if not aspects:
            raise PrefalignError("Gated needs at least one aspect")
        self.threshold, self.weight = threshold, weight

    def forward(self, batch: Batch) -> RewardOutput:
        """(N, 1) or (N, T, 1). Below the threshold it does not matter whether the aspects could be judged."""
        holistic, *aspects = self.members(batch)
        side = side_by_side(aspects)
        whole = holistic.mean[..., :1]
        passed = whole >= self.threshold
        mean = self.weight * whole + torch.sigmoid(side.mean).sum(-1, keepdim=True).where(passed, 0.0)
        needed = passed.flatten(1).any(1)
        return RewardOutput(mean, holistic.valid & (side.valid | ~needed), None, holistic.mask)


def side_by_side(outputs: Sequence[RewardOutput]) -> RewardOutput:
    """The criteria of several judgements as one; a row is valid if all of them are."""
    variance = None
    if any(output.variance is not None for output in outputs):
        variance = torch.cat([torch.zeros_like(o.mean) if o.variance is None else o.variance for o in outputs], -1)
    valid = torch.stack([output.valid for output in outputs]).all(0)
    return RewardOutput(torch.cat([output.mean for output in outputs], -1), valid, variance, outputs[0].mask)
