"""What several people together say about pairs of responses."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from prefalign.interfaces import PrefalignError, PreferenceRecord, RecordError, unknown_name
from prefalign_mesh3d.pairs.verdict_files import HumanVerdict, read_verdict_file


@dataclass(slots=True)
class Votes:
    """Counts of verdicts about two responses, `first` < `second`.

    Attributes:
        first, second: how many preferred the one and the other.
        tie: how many found them equal.
        neither: how many found both too bad to be compared.
        by: the verdicts behind the counts.
        named: where each named annotator's verdict stands.
    """

    first: int = 0
    second: int = 0
    tie: int = 0
    neither: int = 0
    by: list[HumanVerdict] = field(default_factory=list)
    named: dict[str, str] = field(default_factory=dict)

    def add(self, verdict: HumanVerdict) -> None:
        """Count one more.

        Raises:
            RecordError: if its annotator has judged the two already.
        """
        if verdict.annotator is not None:
            if verdict.annotator in self.named:
                problem = (
                    f"{verdict.annotator!r} has judged responses {verdict.a} and {verdict.b} already "
                    f"({self.named[verdict.annotator]}); keep one of the verdicts"
                )
                raise RecordError(problem, field="annotator", record_id=verdict.record, where=verdict.place)
            self.named[verdict.annotator] = verdict.place
        word: str = verdict.verdict
        if word in ("a", "b"):
            word = "first" if (word == "a") == (verdict.a < verdict.b) else "second"
        setattr(self, word, getattr(self, word) + 1)
        self.by.append(verdict)

    @property
    def rejects_both(self) -> bool:
        """More than half say that neither is good enough."""
        return 2 * self.neither > len(self.by)

    @property
    def probability(self) -> float | None:
        """P(first is better): its share of the votes that compare, a tie being half a vote for each; None without."""
        votes = self.first + self.second + self.tie
        return (self.first + self.tie / 2) / votes if votes else None

    @property
    def annotator(self) -> str | None:
        """Who judged, where it was one person."""
        return self.by[0].annotator if len(self.by) == 1 else None


class HumanVerdicts:
    """People's verdicts by record and pair of responses.

    Args:
        verdicts: in any order; several about one pair are votes.
        name: how messages and manifests call them.
        content: hash of what they were read from, for manifests.

    Raises:
        RecordError: if one annotator judged a pair twice.
    """

    def __init__(self, verdicts: Iterable[HumanVerdict], name: str = "verdicts", content: str | None = None) -> None:
        self.name, self.content = name, content
        self._votes: dict[str, dict[tuple[int, int], Votes]] = {}
        for verdict in verdicts:
            pair = (min(verdict.a, verdict.b), max(verdict.a, verdict.b))
            self._votes.setdefault(verdict.record, {}).setdefault(pair, Votes()).add(verdict)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The verdicts of a file; see `prefalign_mesh3d.pairs.verdict_files`.

        Raises:
            PrefalignError: for a file that cannot be read, with the line.
        """
        path = Path(path)
        verdicts = list(read_verdict_file(path))
        return cls(verdicts, path.name, hashlib.sha256(path.read_bytes()).hexdigest())

    def check(self, ids: Iterable[str]) -> None:
        """Refuse verdicts about records that are not there. A stage cannot see that: it meets one record at a time.

        Args:
            ids: of all the records that were shown to people.

        Raises:
            PrefalignError: for a record that is not among them, with near ones.
        """
        known = set(ids)
        for record, votes in self._votes.items():
            if record not in known:
                place = next(iter(votes.values())).by[0].place
                # There may be a hundred thousand of them: a message names the near ones, or a few.
                shown = difflib.get_close_matches(record, known, cutoff=0.5) or sorted(known)[:5]
                raise PrefalignError(f"{place}: {unknown_name('record', record, shown)}")

    def of(self, record: PreferenceRecord) -> dict[tuple[int, int], Votes]:
        """The votes on a record's pairs by indices of the responses, the smaller first, ascending.

        Raises:
            RecordError: for a verdict about a response that the record does not have.
        """
        found = self._votes.get(record.id, {})
        for (_, second), votes in found.items():
            if second >= len(record.responses):
                problem = f"there is no response {second}; the record has {len(record.responses)}, counted from 0"
                column = "b" if votes.by[0].b == second else "a"
                raise RecordError(problem, field=column, record_id=record.id, where=votes.by[0].place)
        return dict(sorted(found.items()))

    def settings(self) -> dict[str, Any]:
        """What decides a decision, as plain JSON values."""
        count = sum(len(votes.by) for pairs in self._votes.values() for votes in pairs.values())
        return {"name": self.name, "sha256": self.content, "verdicts": count}


__all__ = ["HumanVerdicts", "Votes"]
