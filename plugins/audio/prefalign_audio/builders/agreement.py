"""Best and worst candidates on which several judges agree, and HeartMuLa's preference sets (arXiv 2601.10547)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from prefalign.data.stages import BestWorst, paired
from prefalign.interfaces import PrefalignError, PreferenceRecord, Stage, StageReport


class UnanimousBestWorst(Stage):
    """The pair of the candidate that every judge calls best with the one that every judge calls worst, if there are
    both. Of equally good ones that all judges agree on the first counts.

    Args:
        gaps: by the name of each judge's score, how far the winner must be ahead: by more than this, at least 0.

    Raises:
        PrefalignError: for fewer than two judges, or a gap that is negative or not finite.
    """

    def __init__(self, gaps: Mapping[str, float]) -> None:
        if len(gaps) < 2:
            raise PrefalignError(
                f"expected two judges at least, got {', '.join(gaps) or 'none'}; see BestWorst for one"
            )
        for name, gap in gaps.items():
            if not 0 <= gap < math.inf:
                raise PrefalignError(f"{name}: expected a finite gap of at least 0, got {gap}")
        self.gaps = dict(gaps)

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The pairs, with the records' ids; nothing is random. Candidates that lack a score are passed over."""
        for record in records:
            report.seen += 1
            found = scored(record, self.gaps)
            if len(found) < 2:
                report.drop("fewer than two candidates have all scores")
                continue
            columns = list(zip(*found.values(), strict=True))
            best, worst = [max(column) for column in columns], [min(column) for column in columns]
            winner = next((index for index, scores in found.items() if scores == best), None)
            loser = next((index for index, scores in found.items() if scores == worst), None)
            behind = [name for name, b, w in zip(self.gaps, best, worst, strict=True) if not b - w > self.gaps[name]]
            if winner is None:
                report.drop("the judges do not agree on the best")
            elif loser is None:
                report.drop("the judges do not agree on the worst")
            elif behind:
                report.drop(f"{behind[0]}: the winner is not ahead by more than {self.gaps[behind[0]]}")
            elif record.responses[winner].same_payload(record.responses[loser]):
                report.drop("winner and loser are identical")
            else:
                report.made += 1
                yield paired(record, winner, loser)

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {"gaps": self.gaps}


def scored(record: PreferenceRecord, names: Mapping[str, Any] | list[str]) -> dict[int, list[float]]:
    """The scores of some names of each response that has them all, by the response's index."""
    return {
        index: [response.scores[name] for name in names]
        for index, response in enumerate(record.responses)
        if all(name in response.scores for name in names)
    }


def heartmula_similarity(score: str = "muq") -> BestWorst:
    """HeartMuLa's set for the style: best against worst of four by MuQ-MuLan's similarity of song and tags, with a gap
    above 0.12 and a winner above 0.3."""
    return BestWorst(score, min_gap=0.12, min_winner=0.3)


def heartmula_lyric(score: str = "phoneme_rate") -> BestWorst:
    """HeartMuLa's set for the lyric: best against worst of four by minus the phoneme error rate, a gap above 0.1."""
    return BestWorst(score, min_gap=0.1)


def heartmula_quality(songeval: str = "songeval", audiobox: str = "audiobox") -> UnanimousBestWorst:
    """HeartMuLa's set for the quality: best and worst of four by both SongEval, 1 to 5, with a gap above 0.5, and the
    mean of Audiobox' four axes, 1 to 10, with a gap above 0.8."""
    return UnanimousBestWorst({songeval: 0.5, audiobox: 0.8})
