"""Rivals of one run per criterion: pairs of all criteria for one model, and pairs by the sum of ranks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prefalign.data.build import derive_seed
from prefalign.data.stages import paired
from prefalign.interfaces import PrefalignError, PreferenceRecord, Stage, StageReport
from prefalign_audio.builders.agreement import scored


class MixedPairs(Stage):
    """The pairs of several stages, each of which sees every record: the union for one model.

    Two criteria may prefer opposite ends of the same two songs; both pairs are kept, as every criterion's own run would
    have them. Pairs are not weighted, so that a criterion counts by how many pairs it makes.

    Args:
        stages: by the name of the criterion, such as `{"lyric": ErrorGap("errors"), "prompt": BestWorst("prompt")}`.

    Raises:
        PrefalignError: for fewer than two.
    """

    def __init__(self, stages: Mapping[str, Stage]) -> None:
        if len(stages) < 2:
            raise PrefalignError(f"expected two stages to mix at least, got {', '.join(stages) or 'none'}")
        self.stages = dict(stages)

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The pairs, named `<id the stage gave>:<criterion>`; what a stage leaves out is counted with its name."""
        for record in records:
            report.seen += 1
            for name, stage in self.stages.items():
                part = StageReport()
                for pair in stage(iter([record]), derive_seed(seed, name), part):
                    report.made += 1
                    yield dataclasses.replace(pair, id=f"{pair.id}:{name}")
                for reason, count in part.dropped.items():
                    report.dropped[f"{name}: {reason}"] = report.dropped.get(f"{name}: {reason}", 0) + count

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {
            name: {"class": f"{type(stage).__module__}.{type(stage).__qualname__}", **stage.settings()}
            for name, stage in self.stages.items()
        }


class RankSumBestWorst(Stage):
    """The pair of the candidate with the highest sum of ranks over several scores and the one with the lowest.

    Args:
        scores: names of the scores; higher is better in all of them.

    Raises:
        PrefalignError: for fewer than two, or one twice.
    """

    def __init__(self, scores: Sequence[str]) -> None:
        if isinstance(scores, str) or len(scores) < 2 or len(set(scores)) < len(scores):
            raise PrefalignError(f"expected two different scores or more, got {scores!r}")
        self.scores = list(scores)

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The pairs, with the records' ids; nothing is random. Candidates that lack a score are passed over."""
        for record in records:
            report.seen += 1
            sums = rank_sums(scored(record, self.scores))
            if len(sums) < 2:
                report.drop("fewer than two candidates have all scores")
                continue
            # Of equal sums the first counts.
            winner = max(sums, key=lambda index: sums[index])
            loser = min(sums, key=lambda index: sums[index])
            if not sums[winner] > sums[loser]:
                report.drop("all candidates have the same sum of ranks")
            elif record.responses[winner].same_payload(record.responses[loser]):
                report.drop("winner and loser are identical")
            else:
                report.made += 1
                yield paired(record, winner, loser)

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {"scores": self.scores}


def rank_sums(scores: Mapping[int, Sequence[float]]) -> dict[int, float]:
    """The sum of each candidate's ranks over all scores, 0 for the lowest; equal scores share their mean rank.

    Args:
        scores: of every candidate, all in the same order.
    """
    columns = list(zip(*scores.values(), strict=True))
    return {
        index: sum(
            # Mean rank: those below, and half of the others that are equal.
            sum(other < own for other in column) + (column.count(own) - 1) / 2
            for own, column in zip(row, columns, strict=True)
        )
        for index, row in scores.items()
    }
