"""Objectives of whole rankings."""

from __future__ import annotations

import torch
from torch import Tensor

from prefalign.functional.links import logistic
from prefalign.functional.listwise import plackett_luce
from prefalign.interfaces import CapabilityError, Objective, ObjectiveOutput, PrefalignError, Relations, ResponseScores
from prefalign.objectives.metrics import mean_metrics, pair_metrics
from prefalign.objectives.scoring import default_beta, error_metrics, in_full_precision


class PlackettLuce(Objective):
    """DPO for rankings of K responses (arXiv 2305.18290) eq. 20; at K = 2 it is DPO.

    Mean over the batch's lists of weight × negative log-likelihood in nats. Plain pairs are lists of two and may carry
    soft labels; tied ranks share their place.

    Args:
        beta: strength of the tie to the reference, > 0. Default 0.1 for scores in nats, 2000 for half denoising errors.
    """

    def __init__(self, beta: float | None = None) -> None:
        super().__init__()
        if beta is not None and not beta > 0:
            raise PrefalignError(f"expected beta > 0, got {beta}")
        self.beta = beta
        self.needs = frozenset({"reference"})

    def forward(
        self, policy: ResponseScores, reference: ResponseScores | None, relations: Relations
    ) -> ObjectiveOutput:
        """The loss of a batch; `per_sample` lists the rankings in the order of their records, then the plain pairs.

        Raises:
            CapabilityError: without reference.
            PrefalignError: for records with margins.
        """
        if reference is None:
            raise CapabilityError("PlackettLuce needs a reference, and none was given")
        if bool(relations.margin.any()):
            raise PrefalignError("the records have margins, which PlackettLuce cannot honour")
        policy, reference = in_full_precision(policy), in_full_precision(reference)
        beta = default_beta(policy) if self.beta is None else self.beta
        rewards = beta * (policy.logps - reference.logps)
        losses = torch.cat([self._rankings(rewards, relations), self._plain_pairs(rewards, relations)])
        chosen, rejected = relations.chosen, relations.rejected
        metrics = pair_metrics(rewards[chosen], rewards[rejected])
        metrics |= mean_metrics(logps__chosen=policy.logps[chosen], logps__rejected=policy.logps[rejected])
        metrics |= error_metrics(policy, reference, chosen=chosen, rejected=rejected)
        loss = losses.sum() / max(len(losses), 1)
        return ObjectiveOutput(loss, losses.detach(), metrics, (rewards[chosen] - rewards[rejected]).detach())

    def _rankings(self, rewards: Tensor, relations: Relations) -> Tensor:
        """(L,) weighted losses of the records that bring an order."""
        rows = (relations.rank >= 0).nonzero().squeeze(-1)
        items = plackett_luce(rewards[rows], relations.rank[rows], relations.record[rows])
        _, place = torch.unique(relations.record[rows], return_inverse=True)
        total = items.new_zeros(int(place.max()) + 1 if len(rows) else 0)
        return total.index_add(0, place, items * relations.row_weight[rows].to(items))

    def _plain_pairs(self, rewards: Tensor, relations: Relations) -> Tensor:
        """(P,) weighted losses of the pairs that belong to no ranking."""
        plain = relations.rank[relations.chosen] < 0
        chosen, rejected = relations.chosen[plain], relations.rejected[plain]
        losses = logistic(rewards[chosen] - rewards[rejected], 1 - relations.probability[plain].to(rewards))
        return losses * relations.pair_weight[plain].to(losses)
