"""Reward-weighted likelihood: a response pulls as hard as it is good. And the anchor that holds a model in place."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from prefalign.functional.reward_weights import WEIGHTS
from prefalign.interfaces import CapabilityError, Objective, ObjectiveOutput, PrefalignError, Relations, ResponseScores
from prefalign.objectives.metrics import mean_metrics
from prefalign.objectives.scoring import error_metrics, in_full_precision, plain_likelihood

Weighting = Literal["reward", "normalised", "exponential", "threshold", "advantage"]

#: What each weighting reads besides the rewards.
_PARAMETERS = {"exponential": "temperature", "threshold": "above", "advantage": "clip"}


class RewardWeighted(Objective):
    """Mean over the judged responses of weight(reward) × negative log-likelihood (or denoising error).

    BATON's fine-tuning term (arXiv 2402.00744; (1/B) Σ r_i s(t_i) ℓ_i in its published code): the reward is a
    listener's label 0 or 1, or a reward model's probability. Its pretraining term is added by `Anchored`.

    Args:
        weighting: `reward`; `normalised` over the batch's mean; `exponential` softmax of reward/temperature;
            `threshold` 1 above it; `advantage` standardised and clipped to [0, clip]. All but `reward` and `threshold`
            look at the whole batch.
        temperature: of `exponential`, > 0.
        above: of `threshold`.
        clip: of `advantage`, > 0.

    Raises:
        PrefalignError: for a parameter that the weighting does not read, lacks, or out of range.
    """

    needs = frozenset({"likelihood"})

    def __init__(
        self,
        weighting: Weighting = "reward",
        temperature: float | None = None,
        above: float | None = None,
        clip: float | None = None,
    ) -> None:
        super().__init__()
        given = {"temperature": temperature, "above": above, "clip": clip}
        wanted = _PARAMETERS.get(weighting)
        for name, value in given.items():
            if (value is not None) != (name == wanted):
                problem = "needs" if name == wanted else "does not read"
                raise PrefalignError(f"the weighting {weighting!r} {problem} {name}")
        for name in ("temperature", "clip"):
            value = given[name]
            if value is not None and not value > 0:
                raise PrefalignError(f"expected {name} > 0, got {value}")
        self.weighting = weighting
        self.parameters_ = {} if wanted is None else {wanted: given[wanted]}
        self.batch_dependent = weighting in ("normalised", "exponential", "advantage")

    def forward(
        self, policy: ResponseScores, reference: ResponseScores | None, relations: Relations
    ) -> ObjectiveOutput:
        """The loss of a batch; `per_sample` is (n,), the responses that bring a reward or a label, in order.

        Raises:
            PrefalignError: for a negative reward, which would push a response away without bound.
        """
        policy = in_full_precision(policy)
        rewards = torch.where(relations.reward.isnan(), relations.label, relations.reward)
        rows = (~rewards.isnan()).nonzero().squeeze(-1)
        rewards = rewards[rows]
        if self.weighting in ("reward", "normalised") and bool((rewards < 0).any()):
            worst = relations.ids[int(relations.record[rows[rewards.argmin()]])]
            raise PrefalignError(
                f"record {worst!r} has the reward {rewards.min().item():g}; the weighting {self.weighting!r} needs "
                "rewards of at least 0. Use exponential or advantage, or calibrate the rewards"
            )
        logps, lengths = plain_likelihood(policy, rows)
        weights = WEIGHTS[self.weighting](rewards.to(logps), **self.parameters_) if len(rows) else logps
        losses = -weights * logps / lengths * relations.row_weight[rows].to(logps)
        loss = losses.sum() / max(len(rows), 1)
        metrics = mean_metrics(weights__mean=weights)
        if len(rows):
            # A batch whose weights are nearly all 0 is a small batch, whatever its size.
            metrics["weights/effective_batch"] = weights.sum().detach()
        good = rewards > 0.5
        metrics |= error_metrics(policy, reference, chosen=rows[good], rejected=rows[~good])
        return ObjectiveOutput(loss, losses.detach(), metrics)


class Anchored(Objective):
    """An objective plus the likelihood of an anchoring set, which holds the model at data that it is to stay good at.

    loss = objective + weight · (1/A) Σ over the A anchors of their negative log-likelihood per unit (or denoising
    error): the pretraining term of BATON (β 0.25 in its published script). The anchors are those of `data.anchor`.

    Args:
        objective: what is anchored.
        weight: β > 0. Scaling all rewards scales the ratio of both terms, so the ratio to the mean weight is logged as
            `anchor/effective_weight` where the objective has one.
    """

    anchored = True

    def __init__(self, objective: Objective, weight: float = 0.25) -> None:
        super().__init__()
        if not weight > 0:
            raise PrefalignError(f"expected weight > 0, got {weight}; without an anchor use the objective alone")
        self.objective, self.weight = objective, weight
        self.needs = objective.needs | {"likelihood"}
        self.batch_dependent = objective.batch_dependent

    def forward(
        self, policy: ResponseScores, reference: ResponseScores | None, relations: Relations
    ) -> ObjectiveOutput:
        """The loss of a batch; what is measured besides is the inner objective's. Evaluation goes without anchors.

        Raises:
            CapabilityError: if a training batch has no anchors.
        """
        out = self.objective(policy, reference, relations)
        if not len(relations.anchors):
            if self.training:
                raise CapabilityError("core/anchored needs anchoring records in every batch: set data.anchor")
            return out
        logps, lengths = plain_likelihood(in_full_precision(policy), relations.anchors)
        loss: Tensor = (-logps / lengths).mean()
        out.loss = out.loss + self.weight * loss
        out.metrics["anchor/loss"] = loss.detach()
        if "weights/mean" in out.metrics:
            out.metrics["anchor/effective_weight"] = self.weight / out.metrics["weights/mean"]
        return out
