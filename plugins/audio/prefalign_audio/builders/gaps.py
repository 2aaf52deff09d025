"""Pairs of candidates whose scores lie far enough apart, as LeVo makes them (arXiv 2506.07520).

Its first strategy compares errors of the lyric:   Sample → Score(LyricReward, criterion="phonemes") → ErrorGap
Its third compares a learnt judge's scores:        Sample → Score(judge) → GapPairs(threshold_for_precision(…).gap)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

from prefalign.data.stages import paired
from prefalign.interfaces import PrefalignError, PreferenceRecord, Stage, StageReport


class GapPairs(Stage):
    """Every two candidates of a record whose scores differ by more than a gap; the higher one wins.

    Args:
        score: by which name of `Response.scores` they are compared; higher is better.
        gap: the winner is ahead by more than this, at least 0.

    Raises:
        PrefalignError: for a gap that is negative or not finite.
    """

    def __init__(self, score: str, gap: float) -> None:
        if not 0 <= gap < math.inf:
            raise PrefalignError(f"expected a finite gap of at least 0, got {gap}")
        self.score, self.gap = score, gap

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The pairs, named `<id>/<winner>-<loser>`; nothing is random. Candidates without the score are passed over."""
        for record in records:
            report.seen += 1
            found = [(self.value(record, i), i) for i, r in enumerate(record.responses) if self.score in r.scores]
            if len(found) < 2:
                report.drop(f"fewer than two candidates have a score {self.score!r}")
                continue
            for two in itertools.combinations(found, 2):
                (best, winner), (worst, loser) = sorted(two, key=lambda item: item[0], reverse=True)
                if not best - worst > self.gap:
                    report.drop(f"the scores are not apart by more than {self.gap}")
                elif record.responses[winner].same_payload(record.responses[loser]):
                    report.drop("winner and loser are identical")
                else:
                    report.made += 1
                    yield paired(record, winner, loser, f"/{winner}-{loser}")

    def value(self, record: PreferenceRecord, index: int) -> float:
        """The score of a response."""
        return record.responses[index].scores[self.score]

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {"score": self.score, "gap": self.gap}


class ErrorGap(GapPairs):
    """Pairs of songs whose numbers of errors differ by more than a gap; the one with fewer wins (LeVo's strategy 1).

    The count, not the rate: a long lyric makes more pairs than a short one. 40 phonemes is for whole songs.

    Args:
        score: name of minus the number of errors, such as the criterion `phonemes` of `LyricReward` gives.
        gap: errors that the loser has more, at least 0.

    Raises:
        PrefalignError: as `GapPairs`.
    """

    def __init__(self, score: str, gap: float = 40) -> None:
        super().__init__(score, gap)

    def value(self, record: PreferenceRecord, index: int) -> float:
        """The score of a response.

        Raises:
            RecordError: for a score above 0.
        """
        found = super().value(record, index)
        if found > 0:
            field = f"responses[{index}].scores.{self.score}"
            raise record.error(f"expected minus a number of errors, at most 0, got {found}", field)
        return found
