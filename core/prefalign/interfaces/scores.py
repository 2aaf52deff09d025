"""What a policy says about the responses of a batch, and who is compared with whom.

Axes: N responses (rows) of R records, B pairs among them, T token positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Self

import torch
from torch import Tensor

from prefalign.interfaces.errors import CapabilityError
from prefalign.interfaces.record import PreferenceRecord
from prefalign.interfaces.verdict import Group, Ranking, labels, pairs, ranking


@dataclass
class _OnDevice:
    """Tensor holders that Lightning and the data loader can move."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """A copy whose tensors are on `device`."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """A copy whose tensors are in pinned memory."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change) -> Self:  # type: ignore[no-untyped-def]  # Tensor -> Tensor
        moved: dict[str, object] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, (Tensor, _OnDevice)):
                moved[item.name] = change(value) if isinstance(value, Tensor) else value._map(change)
            elif isinstance(value, dict):
                moved[item.name] = {k: change(v) if isinstance(v, Tensor) else v for k, v in value.items()}
        return replace(self, **moved)


@dataclass
class ResponseScores(_OnDevice):
    """Scores of N responses under one model.

    Attributes:
        logps: (N,) score of each response: in nats, the sum over its tokens of weight times log-probability; for a
            denoiser, minus (half) its mean squared error. float32 or float64.
        lengths: (N,) number of scored units (completion tokens; 1 for a denoiser), float.
        units: `nats`; or `mse/2` or `mse`, which say that `logps` is minus half the denoising error or minus the whole.
            Defaults of beta belong to a unit.
        token_logps: (N, T) unweighted log-probabilities in nats, 0 outside `mask`; None for families without tokens.
        mask: (N, T) True on the tokens that belong to the response, its end token included.
        weights: (N, T) weight of each token, 1 unless the record's segments say otherwise, 0 outside `mask`.
        collision: (N, T) log of the summed squared probabilities at each position, for WPO's confidence weight.
        entropy: (N, T) entropy in nats at each position, no gradient.
        prompt_logps: (N,) summed log-probability of the prompt's tokens, and
        prompt_lengths: (N,) their number; for objectives whose likelihood term covers the prompt.
        streams: (T,) which stream each position belongs to, of models that write several at once; None for one stream.
        errors: (N,) mean squared denoising errors; None for families with a likelihood in nats.
    """

    logps: Tensor
    lengths: Tensor
    units: str = "nats"
    token_logps: Tensor | None = None
    mask: Tensor | None = None
    weights: Tensor | None = None
    collision: Tensor | None = None
    entropy: Tensor | None = None
    prompt_logps: Tensor | None = None
    prompt_lengths: Tensor | None = None
    streams: Tensor | None = None
    errors: Tensor | None = None

    def by_stream(self, count: int) -> tuple[Tensor, Tensor]:
        """(N, K) summed log-probabilities of each of `count` streams in nats, and (N, K) their numbers of tokens.

        Raises:
            CapabilityError: for scores without tokens, or of a model that writes one stream.
        """
        if self.token_logps is None or self.mask is None or self.streams is None:
            raise CapabilityError("these scores are not of several streams")
        belongs = torch.nn.functional.one_hot(self.streams, count).to(self.token_logps.dtype)
        return (self.token_logps * self.mask) @ belongs, self.mask.to(belongs.dtype) @ belongs

    def detach(self) -> ResponseScores:
        """The same numbers without their graph."""
        return self._map(lambda tensor: tensor.detach())


@dataclass
class Relations(_OnDevice):
    """The judgements of a batch as index tensors over its N rows.

    Attributes:
        record: (N,) which of the R records a row belongs to.
        chosen, rejected: (B,) rows of each compared pair.
        probability: (B,) P(chosen is better); 1/2 for ties.
        tie: (B,) bool, declared ties.
        margin: (B,) required difference of rewards, 0 where none is given.
        pair_weight: (B,) weight of the pair's record.
        label: (N,) 1 desirable, 0 undesirable, NaN unknown.
        rank: (N,) 0 is best, -1 where the record gives no order.
        reward: (N,) number given to the row, NaN where none.
        row_weight: (N,) weight of the row's record.
        ids: the R records' ids, for messages.
        annotators: the R records' annotators.
        mismatched: (M,) rows that answer another record's prompt, for KTO's baseline; they are in no pair.
        anchors: (A,) rows of an anchoring set (see `anchored`); they are in no pair and have neither label nor reward.
    """

    record: Tensor
    chosen: Tensor
    rejected: Tensor
    probability: Tensor
    tie: Tensor
    margin: Tensor
    pair_weight: Tensor
    label: Tensor
    rank: Tensor
    reward: Tensor
    row_weight: Tensor
    ids: list[str]
    annotators: list[str | None]
    mismatched: Tensor
    anchors: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))

    @classmethod
    def from_records(cls, records: Sequence[PreferenceRecord], mismatched: int = 0) -> Relations:
        """The relations of records whose responses are laid out row after row, in order.

        Args:
            records: the R records of the batch; record r takes `len(r.responses)` consecutive rows.
            mismatched: number of extra rows appended after all others.
        """
        rows: list[tuple[int, float, int, float, float]] = []
        found: list[tuple[int, int, float, bool, float, float]] = []
        for index, record in enumerate(records):
            verdict, count, first = record.verdict, len(record.responses), len(rows)
            order = ranking(verdict) if isinstance(verdict, Group) else verdict
            ranks = order.ranks if isinstance(order, Ranking) else (-1,) * count
            rewards = verdict.rewards if isinstance(verdict, Group) else (float("nan"),) * count
            for label, rank, reward in zip(labels(verdict, count), ranks, rewards, strict=True):
                rows.append((index, float("nan") if label is None else float(label), rank, reward, record.weight))
            for pair in pairs(verdict):
                probability = 0.5 if pair.tie else pair.probability
                margin = record.margin or 0.0
                ends = (first + pair.chosen, first + pair.rejected)
                found.append((*ends, probability, pair.tie, margin, record.weight))
        total = len(rows)
        rows += [(-1, float("nan"), -1, float("nan"), 0.0)] * mismatched
        of, label_, rank_, reward_, weight_ = zip(*rows, strict=True)
        chosen, rejected, probability_, tie, margin_, pair_weight = zip(*found, strict=True) if found else ((),) * 6
        return cls(
            record=torch.tensor(of, dtype=torch.long),
            chosen=torch.tensor(chosen, dtype=torch.long),
            rejected=torch.tensor(rejected, dtype=torch.long),
            probability=torch.tensor(probability_, dtype=torch.float32),
            tie=torch.tensor(tie, dtype=torch.bool),
            margin=torch.tensor(margin_, dtype=torch.float32),
            pair_weight=torch.tensor(pair_weight, dtype=torch.float32),
            label=torch.tensor(label_, dtype=torch.float32),
            rank=torch.tensor(rank_, dtype=torch.long),
            reward=torch.tensor(reward_, dtype=torch.float32),
            row_weight=torch.tensor(weight_, dtype=torch.float32),
            ids=[record.id for record in records],
            annotators=[record.annotator for record in records],
            mismatched=torch.arange(total, total + mismatched),
        )

    def anchored(self, records: Sequence[bool]) -> Relations:
        """The same with the rows of the marked records as anchors, which are not judged but held likely.

        Args:
            records: R flags.
        """
        of = self.record.clamp(min=0)
        anchor = torch.tensor(records, dtype=torch.bool)[of] & (self.record >= 0)
        kept = ~anchor[self.chosen]
        pairs = ("chosen", "rejected", "probability", "tie", "margin", "pair_weight")
        return replace(
            self,
            **{name: getattr(self, name)[kept] for name in pairs},
            label=self.label.masked_fill(anchor, float("nan")),
            reward=self.reward.masked_fill(anchor, float("nan")),
            rank=self.rank.masked_fill(anchor, -1),
            anchors=anchor.nonzero().squeeze(-1),
        )

    @property
    def unpaired(self) -> Tensor:
        """(N,) bool: rows with a label that stand in no pair (verified answers, thumbs up or down)."""
        alone = ~self.label.isnan()
        alone[self.chosen] = False
        alone[self.rejected] = False
        return alone


@dataclass
class Batch(_OnDevice):
    """A device-ready batch.

    Attributes:
        inputs: whatever the policy's `scores` reads; tensors move with the batch, other values stay.
        relations: the judgements over the batch's rows.
        keys: one content key per row, equal for equal model inputs; reference caches look values up by it.
        visits: (R,) how often training has drawn each record before; None outside of training. Policies that draw noise
            derive it from this, so that a record's n-th visit meets the same noise in every run.
    """

    inputs: dict[str, object]
    relations: Relations
    keys: list[str]
    visits: Tensor | None = None


__all__ = ["Batch", "Relations", "ResponseScores"]
