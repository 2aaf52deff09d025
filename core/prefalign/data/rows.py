"""What a file of rows can do, whatever its container: count them, decode one, and say where it stands."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Rows(Protocol):
    """Rows in random access; decoded one at a time, so that the set may be larger than memory."""

    def __len__(self) -> int: ...

    def row(self, index: int) -> Mapping[str, Any]:
        """The decoded row.

        Raises:
            RecordError: if it cannot be decoded; the place is added by whoever knows the file's name.
        """

    def place(self, index: int) -> str:
        """File and row as error messages name them, such as `pairs.jsonl, line 17`."""

    def raw(self, index: int) -> Any:
        """The row as far as it can be had, for the quarantine file."""


class JoinedRows:
    """Several files, such as the shards of a folder, as one."""

    def __init__(self, parts: Sequence[Rows]) -> None:
        self.parts = list(parts)
        self._ends = list(itertools.accumulate(len(part) for part in self.parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _find(self, index: int) -> tuple[Rows, int]:
        number = bisect.bisect_right(self._ends, index)
        return self.parts[number], index - (self._ends[number - 1] if number else 0)

    def row(self, index: int) -> Mapping[str, Any]:
        part, inner = self._find(index)
        return part.row(inner)

    def place(self, index: int) -> str:
        part, inner = self._find(index)
        return part.place(inner)

    def raw(self, index: int) -> Any:
        part, inner = self._find(index)
        return part.raw(inner)
