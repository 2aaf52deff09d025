"""What judges make of candidates: the own caption's sound against the perturbed one's, and agreement of two judges.

Tango 2 (arXiv 2404.09956) makes its set of these, in three chains:

    same caption:       Sample(sweep={"steps": [5, 25, 50, 100]}) → Score, Score → BestWorst(losers="all") → TwoJudges
    perturbed caption:  PerturbCaption or RewriteCaption → SampleCaptions → Score, Score → WinnerOfCaption → TwoJudges
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

from prefalign.data.stages import paired
from prefalign.interfaces import Pair, PrefalignError, PreferenceRecord, Stage, StageReport

#: Scores are single-precision numbers, whose differences miss a decimal limit by less than this.
ROUNDING = 1e-6

Limits = tuple[float, float]


class WinnerOfCaption(Stage):
    """Pairs of a sound made for the caption and one made for its perturbed caption, where the first scores higher.

    Both ends of a pair answer the record's own caption from then on: the loser is a sound that the caption does not
    describe. What it was made for stands in the provenance.

    Args:
        score: by which name of `Response.scores` they are compared.
    """

    def __init__(self, score: str) -> None:
        self.score = score

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The pairs, named `<id>/<winner>-<loser>`; nothing is random. What is left out is counted pair by pair."""
        for record in records:
            report.seen += 1
            own = [index for index, response in enumerate(record.responses) if response.context is None]
            other = [index for index, response in enumerate(record.responses) if response.context is not None]
            if not own or not other:
                report.drop("no candidates for both captions")
                continue
            bare = tuple(dataclasses.replace(response, context=None) for response in record.responses)
            judged = dataclasses.replace(record, responses=bare)
            for winner, loser in ((winner, loser) for winner in own for loser in other):
                good, bad = (record.responses[index].scores.get(self.score) for index in (winner, loser))
                if good is None or bad is None:
                    report.drop(f"a candidate has no score {self.score!r}")
                elif not good > bad:
                    report.drop("the caption's own sound scores no higher")
                elif bare[winner].same_payload(bare[loser]):
                    report.drop("winner and loser are identical")
                else:
                    report.made += 1
                    yield paired(judged, winner, loser, f"/{winner}-{loser}")

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {"score": self.score}


class TwoJudges(Stage):
    """Keep the pairs on which two judges agree that the winner is good, the loser not bad, and the gap neither small
    nor huge. All limits are inclusive, and Tango 2's by default.

    Args:
        scores: names of the two judges' scores.
        winner: the least that the winner scores, by judge.
        loser: the least that the loser scores, by judge.
        gap: by judge, the least and the greatest lead of the winner.

    Raises:
        PrefalignError: for other than two of each, one judge named twice, or a least gap above the greatest.
    """

    def __init__(
        self,
        scores: Sequence[str],
        winner: Sequence[float] = (0.45, 0.60),
        loser: Sequence[float] = (0.40, 0.0),
        gap: Sequence[Limits] = ((0.05, 0.35), (0.08, 0.70)),
    ) -> None:
        for name, given in (("scores", scores), ("winner", winner), ("loser", loser), ("gap", gap)):
            if isinstance(given, str) or len(given) != 2:
                raise PrefalignError(f"expected {name} of two judges, got {given!r}")
        if scores[0] == scores[1]:
            raise PrefalignError(f"expected two judges, got {scores[0]!r} twice")
        for least, greatest in gap:
            if not least <= greatest:
                raise PrefalignError(f"expected a gap as [least, greatest], got [{least}, {greatest}]")
        self.scores, self.winner, self.loser = list(scores), list(winner), list(loser)
        self.gap = [(float(least), float(greatest)) for least, greatest in gap]

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The pairs that both judges pass; the first reason counts. Nothing is random."""
        for record in records:
            report.seen += 1
            if (reason := self._objection(record)) is not None:
                report.drop(reason)
                continue
            report.made += 1
            yield record

    def _objection(self, record: PreferenceRecord) -> str | None:
        """Why a record is left out; None if it is kept."""
        verdict = record.verdict
        if not isinstance(verdict, Pair) or verdict.tie:
            return "the record is no pair"
        ends = record.responses[verdict.chosen].scores, record.responses[verdict.rejected].scores
        for judge, least_winner, least_loser, gap in zip(self.scores, self.winner, self.loser, self.gap, strict=True):
            if judge not in ends[0] or judge not in ends[1]:
                return f"{judge}: no score"
            best, worst = ends[0][judge], ends[1][judge]
            if not _within(best, least_winner, math.inf):
                return f"{judge}: the winner scores below {least_winner}"
            if not _within(worst, least_loser, math.inf):
                return f"{judge}: the loser scores below {least_loser}"
            if not _within(best - worst, *gap):
                return f"{judge}: the gap is outside [{gap[0]}, {gap[1]}]"
        return None

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        gap = [list(limits) for limits in self.gap]
        return {"scores": self.scores, "winner": self.winner, "loser": self.loser, "gap": gap}


def _within(value: float, least: float, greatest: float) -> bool:
    return least - ROUNDING <= value <= greatest + ROUNDING
