"""The order of the records: shuffled by seed and epoch, split over processes, and resumable in mid-epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, DistributedSampler

from prefalign.interfaces import Batch


@dataclass(frozen=True, slots=True)
class Draw:
    """One record that the sampler hands out.

    Attributes:
        index: of the record.
        visit: how often it was drawn before; always 0 outside of training.
        anchor: whether `index` counts in the anchoring set.
    """

    index: int
    visit: int = 0
    anchor: bool = False


@dataclass(frozen=True)
class AnchorPlan:
    """Anchoring records that join every batch.

    Attributes:
        records: number of records in the anchoring set.
        per_batch: how many of them join each batch of a process.
        batch_size: records of the main set in a full batch.
    """

    records: int
    per_batch: int
    batch_size: int


class RecordSampler(DistributedSampler):
    """Order of one epoch for one process, from any position on.

    The order depends on seed, epoch, number of records and number of processes only. Being a `DistributedSampler`, it
    is left alone by Lightning, which also tells it the epoch.

    Args:
        data: the records.
        rank, world_size: of the process.
        shuffle: new order in every epoch.
        seed: of the order.
        count_visits: number the visits of each record by the epoch, as training does.
        anchors: records of an anchoring set that join every batch, one permutation of that set after the other.

    Attributes:
        start: draws of this process to leave out, because they were trained on before a restart.
    """

    def __init__(
        self,
        data: Sized,
        *,
        rank: int,
        world_size: int,
        shuffle: bool,
        seed: int,
        count_visits: bool = False,
        anchors: AnchorPlan | None = None,
    ) -> None:
        super().__init__(data, num_replicas=world_size, rank=rank, shuffle=shuffle, seed=seed)  # type: ignore[arg-type]
        self.start = 0
        self.count_visits, self.anchors = count_visits, anchors

    def __len__(self) -> int:
        plan = self.anchors
        return self.num_samples + (0 if plan is None else self._batches() * plan.per_batch)

    def _batches(self) -> int:
        assert self.anchors is not None
        return -(-self.num_samples // self.anchors.batch_size)

    def __iter__(self) -> Iterator[Draw]:
        visit = self.epoch if self.count_visits else 0
        order = [Draw(index, visit) for index in super().__iter__()]
        if self.anchors is not None:
            order = self._joined(order, self.anchors)
        return iter(order[self.start :])

    def _joined(self, order: list[Draw], plan: AnchorPlan) -> list[Draw]:
        """The order with each batch's anchors behind its records."""
        first = self.epoch * self._batches() * plan.per_batch
        passes: dict[int, list[int]] = {}
        joined: list[Draw] = []
        for batch in range(self._batches()):
            joined += order[batch * plan.batch_size : (batch + 1) * plan.batch_size]
            for position in range(batch * plan.per_batch, (batch + 1) * plan.per_batch):
                # Processes take turns, so that together they go through the set once before any record comes again.
                turn, place = divmod((first + position) * self.num_replicas + self.rank, plan.records)
                if turn not in passes:
                    generator = torch.Generator().manual_seed(self.seed * 1_000_003 + turn)
                    passes[turn] = torch.randperm(plan.records, generator=generator).tolist()
                joined.append(Draw(passes[turn][place], turn, anchor=True))
        return joined


class RecordLoader(DataLoader):
    """A data loader that knows how many batches it has handed out, and can go on from there.

    Lightning stores `state_dict` in its checkpoints and calls `load_state_dict` before a resumed epoch.
    """

    def __init__(
        self, data: Any, sampler: RecordSampler, batch_size: int, collate: Callable[..., Batch], **options: Any
    ):
        # Each pass draws a seed for its workers. From the global generator it would shift what training draws next, and
        # a run resumed at an epoch's beginning would go another way than one that came there.
        generator = torch.Generator()
        super().__init__(
            data, batch_size=batch_size, sampler=sampler, collate_fn=collate, generator=generator, **options
        )
        self._position = 0
        self._resume_at = 0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        sampler, batch_size = self.sampler, self.batch_size
        assert isinstance(sampler, RecordSampler)
        assert batch_size is not None
        self._position, self._resume_at = self._resume_at, 0
        sampler.start = self._position * batch_size
        for batch in super().__iter__():
            self._position += 1
            yield batch
        sampler.start = self._position = 0

    def state_dict(self) -> dict[str, int]:
        """Where the epoch stands."""
        return {"position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start the next epoch after `position` batches instead of at its beginning; an epoch's end is a beginning."""
        self._resume_at = state["position"] % len(self)
