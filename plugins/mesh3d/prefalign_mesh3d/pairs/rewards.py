"""Criteria as numbers: a reward for each of N candidates, and the margin of a pair."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from prefalign.interfaces import Group, Pair, PreferenceRecord, Stage, StageReport
from prefalign_mesh3d.pairs.criteria import Criterion, candidate_scores, distinct_criteria, total_utility


class CriteriaRewards(Stage):
    """Make the criteria a record's verdict: one number per candidate, higher being better, for listwise objectives.

    The number is the sum over the criteria of weight × score, or × its logarithm where the criterion is relative,
    negative where lower is better. Slack and clear have no part in it. `core/plackett_luce` reads the order off the
    numbers; objectives that weigh candidates read the numbers themselves. For a single score of which more is better,
    `prefalign.data.stages.GroupRewards` does the same.

    Args:
        criteria: what is added up. Candidates without one of the scores are left out, and records without any other.
    """

    def __init__(self, criteria: Sequence[Criterion]) -> None:
        self.criteria = distinct_criteria(criteria)

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The groups; nothing is random.

        Raises:
            RecordError: for a negative score of a relative criterion.
        """
        for record in records:
            report.seen += 1
            index, scores = candidate_scores(record, self.criteria, report)
            if len(index) < 2:
                report.drop("fewer than two candidates have every score")
                continue
            report.made += 1
            responses = tuple(record.responses[i] for i in index.tolist())
            verdict = Group(tuple(total_utility(self.criteria, scores).tolist()))
            yield dataclasses.replace(record, responses=responses, verdict=verdict, criteria={})

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {"criteria": [criterion.settings() for criterion in self.criteria]}


class ScoreMargin(Stage):
    """Make a difference of scores the margin of a pair: the reward by which the chosen one is to be ahead.

    Args:
        criterion: of which the margin is the gain: weight × the difference of the scores, or of their logarithms. Where
            the rejected one is ahead in it, the margin is 0.
    """

    def __init__(self, criterion: Criterion) -> None:
        self.criterion = criterion

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The pairs with their margins; nothing is random.

        Raises:
            RecordError: for a record that is no pair, or a negative score of a relative criterion.
        """
        for record in records:
            report.seen += 1
            if not isinstance(record.verdict, Pair):
                raise record.error("expected a pair; put this stage behind one that makes pairs", "verdict")
            index, scores = candidate_scores(record, (self.criterion,), report)
            ends = (record.verdict.chosen, record.verdict.rejected)
            if not set(ends) <= set(index.tolist()):
                report.drop(f"the pair has no difference of {self.criterion.score!r}")
                continue
            report.made += 1
            utility = dict(zip(index.tolist(), total_utility((self.criterion,), scores).tolist(), strict=True))
            yield dataclasses.replace(record, margin=max(0.0, utility[ends[0]] - utility[ends[1]]))

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {"criterion": self.criterion.settings()}


__all__ = ["CriteriaRewards", "ScoreMargin"]
