"""The builder: a deterministic, resumable pipeline that makes preference records.

    prompts → candidates → scores → pairs → filters → records

A stage is a function over a stream of records, so the same stage runs offline or between epochs. The runner in
`prefalign.data.build` threads records through the stages, writes them, and keeps the manifest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from prefalign.interfaces.record import PreferenceRecord


@dataclass
class StageReport:
    """What a stage did, for the manifest: records in, out, and dropped by reason."""

    seen: int = 0
    made: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str) -> None:
        """Count a record that the stage leaves out."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1


class Stage(ABC):
    """One step of a builder. Its output depends on its settings, the seed and the records, and on nothing else.

    A stage yields the records made from one input before it asks for the next, which is what makes a run resumable: the
    runner skips the inputs whose records are already written.
    """

    @abstractmethod
    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """Transform a stream. Randomness is derived from (`seed`, record id), never from the position in the stream."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Plain JSON settings that, with the inputs and the seed, determine the output; written to the manifest."""
