"""RE-PO: pairwise preference optimisation that learns how far each annotator can be trusted."""

from __future__ import annotations

import torch
from torch import Tensor

from prefalign.functional.links import logistic
from prefalign.interfaces import PrefalignError, Relations, unknown_name
from prefalign.objectives.dpo import DPO
from prefalign.objectives.pairs import PairLoss, PairScores
from prefalign.objectives.ranks import sum_over_ranks
from prefalign.objectives.state import ExactBuffers


class REPO(ExactBuffers, DPO):
    """RE-PO (arXiv 2509.24159): expectation maximisation over whether a pair's label is right, around a pairwise loss.

    With p = σ(L(other way round) − L(as judged)) (eq. 2) and reliability η of the annotator, the label is right with
    posterior w = pη / (pη + (1 − p)(1 − η)) (eq. 4), and the pair costs −w log p − (1 − w) log(1 − p) (eq. 5), w being
    taken for a constant. In training η follows the mean of w of the annotator's pairs (eq. 7). At η = 1 the loss is the
    logistic of the base loss's own margin, that of DPO is DPO.

    Args:
        beta, loss_type, label_smoothing: the base loss, as for `DPO`.
        reliability: η at the start, in (1/2, 1]; 1 stays 1.
        rate: α of eq. 7, the weight of a batch in η, in [0, 1].
        annotators: names as in the records; None takes all pairs for the work of one annotator.
    """

    reliability: Tensor

    def __init__(
        self,
        beta: float | None = None,
        loss_type: str | PairLoss = "sigmoid",
        label_smoothing: float | None = None,
        reliability: float = 0.9,
        rate: float = 0.1,
        annotators: list[str] | None = None,
    ) -> None:
        super().__init__(beta, loss_type, label_smoothing=label_smoothing)
        if not all("pair" in loss.honours for loss in self.losses):
            raise PrefalignError(f"RE-PO needs a loss for each pair, which {self.losses[0].name} has not")
        if not 0.5 < reliability <= 1:
            raise PrefalignError(f"expected a reliability above 1/2 and up to 1, got {reliability}")
        if not 0 <= rate <= 1:
            raise PrefalignError(f"expected a rate between 0 and 1, got {rate}")
        if annotators is not None and len(set(annotators)) < max(len(annotators), 1):
            raise PrefalignError("expected at least one annotator, each named once")
        self.rate, self.annotators = rate, annotators
        self.register_buffer("reliability", torch.full((len(annotators or [""]),), reliability))

    def pair_losses(self, pairs: PairScores, relations: Relations, metrics: dict[str, Tensor]) -> Tensor:
        """(B,) losses in nats; in training mode the reliabilities move afterwards."""
        if not bool((relations.probability == 1).all()):
            raise PrefalignError("RE-PO estimates how certain labels are, and the records bring soft labels or ties")
        loss = self.losses[0]
        if self._per_length(loss):
            pairs = pairs.per_length()
        logit = loss(pairs.swapped()) - loss(pairs)
        who = self._annotators(relations).to(logit.device)
        reliability = self.reliability[who].to(logit)
        # The posterior's logit is the sum of both logits; at η = 1 it is infinite and the posterior 1.
        posterior = torch.sigmoid(logit.detach() + torch.logit(reliability))
        if self.training:
            self._learn(posterior, who)
        metrics["reliability"] = self.reliability.mean().clone()
        return logistic(logit, 1 - posterior)

    def _annotators(self, relations: Relations) -> Tensor:
        """(B,) index of each pair's annotator."""
        records = relations.record[relations.chosen].tolist()
        if self.annotators is None:
            return torch.zeros(len(records), dtype=torch.long)
        place = {name: index for index, name in enumerate(self.annotators)}
        found = []
        for record in records:
            name = relations.annotators[record]
            if name not in place:
                raise PrefalignError(f"record {relations.ids[record]!r}: {unknown_name('annotator', str(name), place)}")
            found.append(place[name])
        return torch.tensor(found, dtype=torch.long)

    def _learn(self, posterior: Tensor, who: Tensor) -> None:
        """Eq. 7, for the annotators who have pairs in the batch, over all ranks."""
        sums = self.reliability.new_zeros(2, len(self.reliability))
        sums[0].index_add_(0, who, posterior.to(sums))
        sums[1].index_add_(0, who, torch.ones_like(posterior).to(sums))
        total, count = sum_over_ranks(sums).unbind()
        moved = torch.lerp(self.reliability, total / count.clamp(min=1), self.rate)
        self.reliability.copy_(torch.where(count > 0, moved, self.reliability))
