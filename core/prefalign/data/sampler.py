"""The order of the records: shuffled by seed and epoch, split over processes, and resumable in mid-epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Any

import torch
from torch.utils.data import DataLoader, DistributedSampler

from prefalign.interfaces import Batch


class RecordSampler(DistributedSampler):
    """Order of one epoch for one process, from any position on.

    The order depends on seed, epoch, number of records and number of processes only. Being a `DistributedSampler`, it
    is left alone by Lightning, which also tells it the epoch.

    Attributes:
        start: records of this process to leave out, because they were trained on before a restart.
    """

    def __init__(self, data: Sized, *, rank: int, world_size: int, shuffle: bool, seed: int) -> None:
        super().__init__(data, num_replicas=world_size, rank=rank, shuffle=shuffle, seed=seed)  # type: ignore[arg-type]
        self.start = 0

    def __iter__(self) -> Iterator[int]:
        order = list(super().__iter__())
        return iter(order[self.start :])


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
