"""Objectives of single responses that are known to be desirable or not. A pair counts as one of each."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from prefalign.functional.unary import classifier, prospect
from prefalign.interfaces import CapabilityError, Objective, ObjectiveOutput, PrefalignError, Relations, ResponseScores
from prefalign.objectives.metrics import mean_metrics
from prefalign.objectives.ranks import mean_over_ranks
from prefalign.objectives.scoring import default_beta, error_metrics, in_full_precision
from prefalign.objectives.state import ExactBuffers


@dataclass(frozen=True)
class LabelledRows:
    """The n labelled rows of a batch.

    Attributes:
        logps: (n,) log-probabilities under the policy in nats.
        rewards: (n,) implicit rewards β · log ratio.
        desirable: (n,) bool.
        weight: (n,) weights of the rows' records.
        baseline: () mean reward that the rows are measured from; 0 for objectives without.
        beta: what the rewards were multiplied by.
    """

    logps: Tensor
    rewards: Tensor
    desirable: Tensor
    weight: Tensor
    baseline: Tensor
    beta: float


class UnaryObjective(Objective):
    """Mean over the labelled rows of weight × loss.

    Args:
        beta: strength of the tie to the reference, > 0. Default 0.1 for scores in nats, 2000 for half denoising errors.
    """

    def __init__(self, beta: float | None) -> None:
        super().__init__()
        if beta is not None and not beta > 0:
            raise PrefalignError(f"expected beta > 0, got {beta}")
        self.beta = beta
        self.needs = frozenset({"reference"})

    @abstractmethod
    def row_losses(self, rows: LabelledRows, metrics: dict[str, Tensor]) -> Tensor:
        """(n,) losses before the records' weights."""

    def forward(
        self, policy: ResponseScores, reference: ResponseScores | None, relations: Relations
    ) -> ObjectiveOutput:
        """The loss of a batch; `per_sample` is (n,), one number for each labelled row in the order of the rows.

        Raises:
            CapabilityError: without reference, or without mismatched rows where `needs` names them.
        """
        if reference is None:
            raise CapabilityError(f"{type(self).__name__} needs a reference, and none was given")
        policy, reference = in_full_precision(policy), in_full_precision(reference)
        beta = default_beta(policy) if self.beta is None else self.beta
        rewards = beta * (policy.logps - reference.logps)
        index = (~relations.label.isnan()).nonzero().squeeze(-1)
        desirable = relations.label[index] == 1
        rows = LabelledRows(
            policy.logps[index],
            rewards[index],
            desirable,
            relations.row_weight[index],
            self._baseline(rewards, index, relations),
            beta,
        )
        metrics: dict[str, Tensor] = {}
        losses = self.row_losses(rows, metrics) * rows.weight
        good, bad = rows.rewards[desirable], rows.rewards[~desirable]
        metrics |= mean_metrics(
            rewards__chosen=good,
            rewards__rejected=bad,
            logps__chosen=rows.logps[desirable],
            logps__rejected=rows.logps[~desirable],
        )
        metrics |= error_metrics(policy, reference, chosen=index[desirable], rejected=index[~desirable])
        if len(good) and len(bad):
            metrics["rewards/margins"] = (good.mean() - bad.mean()).detach()
        loss = losses.sum() / max(len(losses), 1)
        return ObjectiveOutput(loss, losses.detach(), metrics)

    def _baseline(self, rewards: Tensor, labelled: Tensor, relations: Relations) -> Tensor:
        """The mean reward of the mismatched rows over all ranks, at least 0; 0 where the objective has none."""
        if "mismatched" not in self.needs:
            return rewards.new_zeros(())
        if not len(relations.mismatched):
            raise CapabilityError(f"{type(self).__name__} needs mismatched rows, and the batch has none")
        return mean_over_ranks(rewards[relations.mismatched])[0].clamp(min=0)


class KTO(UnaryObjective):
    """Kahneman–Tversky optimisation (arXiv 2402.01306) eq. 7, and its unpaired APO relative.

    The baseline z is the policy's mean divergence from the reference over all ranks, at least 0 and without gradient.

    Args:
        beta: strength of the tie to the reference, > 0. Default 0.1 for scores in nats, 2000 for half denoising errors.
        desirable_weight: factor of desirable rows.
        undesirable_weight: factor of undesirable rows; keep (weight × number of rows) of both kinds within 1 to 4/3.
        loss_type: `kto`, or `apo_zero_unpaired` (arXiv 2408.06266), which has no baseline.
        baseline: what z is estimated on: `mismatched`, responses scored under other records' prompts, as in KTO; or
            `batch`, the labelled responses themselves, as in Diffusion-KTO's code (arXiv 2404.04465).
    """

    def __init__(
        self,
        beta: float | None = None,
        desirable_weight: float = 1.0,
        undesirable_weight: float = 1.0,
        loss_type: Literal["kto", "apo_zero_unpaired"] = "kto",
        baseline: Literal["mismatched", "batch"] = "mismatched",
    ) -> None:
        super().__init__(beta)
        self.desirable_weight, self.undesirable_weight = desirable_weight, undesirable_weight
        self.batch_dependent = loss_type == "kto"
        self.of_batch = loss_type == "kto" and baseline == "batch"
        if loss_type == "kto" and baseline == "mismatched":
            self.needs |= {"mismatched"}

    def _baseline(self, rewards: Tensor, labelled: Tensor, relations: Relations) -> Tensor:
        if self.of_batch:
            return mean_over_ranks(rewards[labelled])[0].clamp(min=0)
        return super()._baseline(rewards, labelled, relations)

    def row_losses(self, rows: LabelledRows, metrics: dict[str, Tensor]) -> Tensor:
        """(n,) losses; logs the baseline, in nats, as `kl`."""
        metrics["kl"] = rows.baseline / rows.beta
        factors = rows.rewards.new_tensor([self.undesirable_weight, self.desirable_weight])
        return factors[rows.desirable.long()] * prospect(rows.rewards, rows.desirable, rows.baseline)


class BCO(ExactBuffers, UnaryObjective):
    """Binary classifier optimisation (arXiv 2404.04656): rewards are told apart about their running mean δ.

    δ is the mean of all rewards seen in training, over all ranks; it is kept in buffers and saved with the model.

    Args:
        beta: strength of the tie to the reference, > 0. Default 0.1 for scores in nats, 2000 for half denoising errors.
    """

    mean: Tensor
    count: Tensor

    def __init__(self, beta: float | None = None) -> None:
        super().__init__(beta)
        self.batch_dependent = True
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def row_losses(self, rows: LabelledRows, metrics: dict[str, Tensor]) -> Tensor:
        """(n,) losses; in training mode the batch enters the running mean first."""
        if self.training:
            mean, count = mean_over_ranks(rows.rewards)
            self.count += count.long()
            self.mean += (mean - self.mean) * count / self.count.clamp(min=1)
        shift = self.mean.to(rows.rewards)
        metrics["delta"] = shift.clone()
        return classifier(rows.rewards, rows.desirable, shift)
