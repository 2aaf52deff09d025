"""Objectives that train a reward: comparisons (Bradley–Terry, with ties, Gaussian) and ratings."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from prefalign.functional import reward_modelling as losses
from prefalign.interfaces import CapabilityError, ObjectiveOutput, PrefalignError, Relations, RewardOutput
from prefalign.interfaces.objective import RewardObjective
from prefalign.objectives.metrics import mean_metrics


@dataclass(frozen=True)
class RewardPairs:
    """The judged rewards of B pairs, every tensor (B,).

    Attributes:
        chosen, rejected: mean rewards.
        variance: variance of their difference; None for rewards without uncertainty.
        tie: bool, declared ties.
        margin: required difference of rewards.
    """

    chosen: Tensor
    rejected: Tensor
    variance: Tensor | None
    tie: Tensor
    margin: Tensor

    @property
    def difference(self) -> Tensor:
        """Mean reward of the chosen response less that of the rejected one."""
        return self.chosen - self.rejected

    def swapped(self) -> RewardPairs:
        """The opposite judgement, which requires the same margin."""
        return RewardPairs(self.rejected, self.chosen, self.variance, self.tie, self.margin)


class PairReward(RewardObjective):
    """Mean over the pairs whose rewards are both valid of weight × loss.

    A pair whose judgement is right with probability p costs p·L(as judged) + (1 − p)·L(the other way round).

    Args:
        margin: required difference of rewards for every pair that is no tie, at least 0.
        record_margins: add the records' own margins.
        label_smoothing: probability that a label is wrong, 0 <= ε <= 1/2.
        center_rewards_coefficient: factor of the squared sum of both rewards; TRL advises 0.01.
        criterion: which of the reward's criteria is compared.
    """

    def __init__(
        self,
        margin: float = 0.0,
        record_margins: bool = True,
        label_smoothing: float = 0.0,
        center_rewards_coefficient: float = 0.0,
        criterion: int = 0,
    ) -> None:
        super().__init__()
        if margin < 0 or center_rewards_coefficient < 0 or criterion < 0:
            raise PrefalignError("expected margin, center_rewards_coefficient and criterion of at least 0")
        if not 0 <= label_smoothing <= 0.5:
            raise PrefalignError(f"expected 0 <= label_smoothing <= 1/2, got {label_smoothing}")
        self.margin, self.record_margins, self.label_smoothing = margin, record_margins, label_smoothing
        self.center_rewards_coefficient, self.criterion = center_rewards_coefficient, criterion

    @abstractmethod
    def pair_losses(self, pairs: RewardPairs) -> Tensor:
        """(B,) losses of the pairs as judged."""

    def judged_losses(self, pairs: RewardPairs, probability: Tensor) -> Tensor:
        """(B,) losses of judgements that are right with this probability, (B,)."""
        return probability * self.pair_losses(pairs) + (1 - probability) * self.pair_losses(pairs.swapped())

    def forward(self, output: RewardOutput, relations: Relations) -> ObjectiveOutput:
        """The loss of a batch; `per_sample` and `margins` cover the pairs with valid rewards.

        Raises:
            PrefalignError: if the reward has no such criterion.
        """
        output = totals(output, self.criterion)
        keep = output.valid[relations.chosen] & output.valid[relations.rejected]
        chosen, rejected = relations.chosen[keep], relations.rejected[keep]
        mean, tie = output.mean[:, self.criterion], relations.tie[keep]
        required = self.margin + relations.margin[keep].to(mean) * self.record_margins
        variance = None
        if output.variance is not None:
            variance = output.variance[chosen, self.criterion] + output.variance[rejected, self.criterion]
        pairs = RewardPairs(mean[chosen], mean[rejected], variance, tie, required * ~tie)
        probability = relations.probability[keep].to(mean)
        probability = probability + self.label_smoothing * (1 - 2 * probability)
        per_pair = self.judged_losses(pairs, probability)
        if self.center_rewards_coefficient:
            per_pair = per_pair + self.center_rewards_coefficient * losses.centring(pairs.chosen, pairs.rejected)
        per_pair = per_pair * relations.pair_weight[keep].to(mean)
        loss = per_pair.sum() / max(len(per_pair), 1)
        decided = relations.probability[keep] > 0.5
        difference = pairs.difference.detach()
        metrics = reward_metrics(mean[output.valid])
        metrics |= mean_metrics(accuracy=(difference[decided] > 0).to(mean), margin=difference)
        return ObjectiveOutput(loss, per_pair.detach(), metrics, difference)


class BradleyTerry(PairReward):
    """Logistic loss of reward differences, with margin, centring and ties.

    Args:
        margin, record_margins, label_smoothing, center_rewards_coefficient, criterion: as for `PairReward`. HPSv3's
            margin variant is 0.57.
        ties: k > 1 of the Rao–Kupper model for declared ties (HPSv3 takes 5). None counts a tie as half a win for each.
        noise: share of judgements made at random, 0 <= noise < 1 (0.1 is usual for robot preferences).
    """

    def __init__(
        self,
        margin: float = 0.0,
        record_margins: bool = True,
        label_smoothing: float = 0.0,
        center_rewards_coefficient: float = 0.0,
        ties: float | None = None,
        noise: float = 0.0,
        criterion: int = 0,
    ) -> None:
        super().__init__(margin, record_margins, label_smoothing, center_rewards_coefficient, criterion)
        if ties is not None and not ties > 1:
            raise PrefalignError(f"expected ties > 1, got {ties}")
        if not 0 <= noise < 1:
            raise PrefalignError(f"expected 0 <= noise < 1, got {noise}")
        if noise and ties is not None:
            raise PrefalignError("noise and ties are two models of an undecided judge; choose one")
        self.ties, self.noise = ties, noise

    def pair_losses(self, pairs: RewardPairs) -> Tensor:
        """(B,) losses in nats."""
        if self.noise:
            return losses.noisy_bradley_terry(pairs.difference, self.noise, pairs.margin)
        if self.ties is None:
            return losses.bradley_terry(pairs.difference, pairs.margin)
        return losses.rao_kupper(pairs.difference, pairs.tie, self.ties, pairs.margin)


class Gaussian(PairReward):
    """Bradley–Terry of rewards that come with a variance: HPSv3. PEARL's is `prefalign.objectives.robust_reward`.

    Args:
        log_inside: E[−log σ(z)] as in HPSv3's released code, instead of −log E[σ(z)] as in the papers' probability. The
            former never falls with the variance, so rewards trained with it learn to be certain.
        nodes: points of the Gauss–Hermite quadrature.
        samples: draws of the Monte Carlo form that takes the quadrature's place; 0 for the quadrature.
        margin, record_margins, label_smoothing, center_rewards_coefficient, criterion: as for `PairReward`.
    """

    def __init__(
        self,
        log_inside: bool = False,
        nodes: int = 32,
        samples: int = 0,
        margin: float = 0.0,
        record_margins: bool = True,
        label_smoothing: float = 0.0,
        center_rewards_coefficient: float = 0.0,
        criterion: int = 0,
    ) -> None:
        super().__init__(margin, record_margins, label_smoothing, center_rewards_coefficient, criterion)
        if not 1 <= nodes <= 128 or samples < 0:
            raise PrefalignError(f"expected 1 to 128 nodes and samples of at least 0, got {nodes} and {samples}")
        self.log_inside, self.nodes, self.samples = log_inside, nodes, samples

    def pair_losses(self, pairs: RewardPairs) -> Tensor:
        """(B,) losses in nats."""
        if pairs.variance is None:
            raise CapabilityError("the Gaussian objective needs a reward with a variance, and this one has none")
        mean = pairs.difference - pairs.margin
        if self.samples:
            return losses.gaussian_sampled(mean, pairs.variance, log_inside=self.log_inside, samples=self.samples)
        return losses.gaussian(mean, pairs.variance, log_inside=self.log_inside, nodes=self.nodes)


class Pointwise(RewardObjective):
    """Rewards fitted to each response's own label or number.

    Args:
        loss_type: `bce`, the logistic loss of the reward as a logit in nats, or `mse`, the squared error.
        target: `label` (1 desirable, 0 undesirable) or `reward` (the number of a group; within [0, 1] for `bce`).
        label_smoothing: for `bce` on labels, the probability that a label is wrong, 0 <= ε <= 1/2.
        criterion: which of the reward's criteria is fitted.
    """

    def __init__(
        self,
        loss_type: Literal["bce", "mse"] = "bce",
        target: Literal["label", "reward"] = "label",
        label_smoothing: float = 0.0,
        criterion: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing <= 0.5:
            raise PrefalignError(f"expected 0 <= label_smoothing <= 1/2, got {label_smoothing}")
        if label_smoothing and (loss_type, target) != ("bce", "label"):
            raise PrefalignError(f"label_smoothing would have no effect on {loss_type} of {target}s; leave it out")
        self.loss_type, self.target, self.label_smoothing, self.criterion = (
            loss_type,
            target,
            label_smoothing,
            criterion,
        )

    def forward(self, output: RewardOutput, relations: Relations) -> ObjectiveOutput:
        """The loss of a batch; `per_sample` covers the valid rows that have a target.

        Raises:
            PrefalignError: for `bce` on numbers outside [0, 1], or if the reward has no such criterion.
        """
        output = totals(output, self.criterion)
        target = relations.label if self.target == "label" else relations.reward
        rows = (output.valid & ~target.isnan()).nonzero().squeeze(-1)
        mean = output.mean[:, self.criterion]
        goal = target[rows].to(mean)
        if self.loss_type == "mse":
            per_row = mse_loss(mean[rows], goal, reduction="none")
        else:
            if bool(((goal < 0) | (goal > 1)).any()):
                raise PrefalignError("bce needs targets between 0 and 1, and the records bring other numbers; use mse")
            goal = goal + self.label_smoothing * (1 - 2 * goal)
            per_row = binary_cross_entropy_with_logits(mean[rows], goal, reduction="none")
        per_row = per_row * relations.row_weight[rows].to(mean)
        loss = per_row.sum() / max(len(per_row), 1)
        metrics = reward_metrics(mean[output.valid])
        if self.target == "label":
            metrics |= mean_metrics(accuracy=((mean[rows] > 0) == (goal > 0.5)).to(mean))
        return ObjectiveOutput(loss, per_row.detach(), metrics)


def totals(output: RewardOutput, criterion: int) -> RewardOutput:
    """Rewards per response in full precision, once it is clear that they have this criterion.

    Raises:
        PrefalignError: if they do not.
    """
    output = output.totals()
    if criterion >= output.mean.shape[-1]:
        raise PrefalignError(f"criterion {criterion} is out of range: the reward has {output.mean.shape[-1]}")
    half = (torch.float16, torch.bfloat16)
    variance = output.variance
    return RewardOutput(
        mean=output.mean.float() if output.mean.dtype in half else output.mean,
        valid=output.valid,
        variance=variance.float() if variance is not None and variance.dtype in half else variance,
    )


def reward_metrics(rewards: Tensor) -> dict[str, Tensor]:
    """Smallest, mean and largest of the (n,) valid rewards, under TRL's names."""
    if not len(rewards):
        return {}
    rewards = rewards.detach()
    return {"min_reward": rewards.min(), "mean_reward": rewards.mean(), "max_reward": rewards.max()}
