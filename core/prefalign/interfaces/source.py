"""The record source: where preference records are read from, one by one, without holding them all."""

from __future__ import annotations

from typing import Protocol

from prefalign.interfaces.record import PreferenceRecord


class RecordSource(Protocol):
    """A map-style set of records, larger than memory if need be.

    Attributes:
        name: how messages call it (file name or URI).
    """

    name: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> PreferenceRecord:
        """Record `index`.

        Raises:
            RecordError: naming file, row, record id and field.
        """
