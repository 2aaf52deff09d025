"""The errors that a user can meet. Each says what was wrong, where, what was expected, and the nearest mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PrefalignError(ValueError):
    """Base of the errors that our own checks raise; the command prints them without a traceback."""


class RecordError(PrefalignError):
    """A preference record that cannot be used.

    Attributes:
        record_id: id of the record, or None where the row has none yet.
        field: dotted name of the offending field, such as `responses[1].text`.
        where: file and row, filled in by the reader that knows them.
    """

    def __init__(self, problem: str, *, field: str, record_id: str | None = None, where: str | None = None) -> None:
        self.problem, self.field, self.record_id, self.where = problem, field, record_id, where
        place = ", ".join(
            part for part in (where, f"record {record_id!r}" if record_id else None, f"field {field!r}") if part
        )
        super().__init__(f"{place}: {problem}")

    def located(self, where: str, record_id: str | None = None) -> RecordError:
        """The same error with the file and row, and the id where it was not known yet."""
        return RecordError(self.problem, field=self.field, record_id=self.record_id or record_id, where=where)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling, and data-loader workers pickle what they raise.
        return (_rebuild_record_error, (self.problem, self.field, self.record_id, self.where))


def _rebuild_record_error(problem: str, field: str, record_id: str | None, where: str | None) -> RecordError:
    return RecordError(problem, field=field, record_id=record_id, where=where)


class CapabilityError(PrefalignError):
    """An objective asks for something that the policy, the reference or the data cannot give."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> PrefalignError:
    """The error for a name that is not in `known`, with up to three near ones."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(map(repr, near))}?" if near else f"known: {', '.join(names) or 'none'}"
    return PrefalignError(f"unknown {kind} {name!r}; {hint}")
