"""Pairs by geometry, and by appearance where geometry leaves it open: DeepMesh's rule (arXiv 2503.15265)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from prefalign.data.stages import paired
from prefalign.interfaces import PrefalignError, PreferenceRecord, Stage, StageReport
from prefalign_mesh3d.pairs.criteria import Criterion, drop_many
from prefalign_mesh3d.pairs.human_pairs import decided
from prefalign_mesh3d.pairs.human_verdicts import HumanVerdicts


class GeometryFirst(Stage):
    """All pairs of a record's candidates, judged by a distance to the ground truth first.

    Of two candidates of which one is near enough, that one is chosen. Where neither is, there is no pair. Where both
    are, appearance decides: a score, or people. DeepMesh draws two candidates a cloud and takes the Chamfer distance;
    its threshold is not published.

    Args:
        threshold: largest distance that is near enough, in the unit of the score.
        appearance: the criterion that decides between two that are near enough, or people's verdicts; None leaves such
            pairs out.
        geometry: name of the score that is the distance. A candidate without it is in no pair.

    Raises:
        PrefalignError: for a threshold that is negative or not finite.
    """

    def __init__(
        self, threshold: float, appearance: Criterion | HumanVerdicts | None = None, geometry: str = "chamfer"
    ) -> None:
        if not 0 <= threshold < math.inf:
            raise PrefalignError(f"expected a threshold of at least 0, got {threshold}")
        self.threshold, self.appearance, self.geometry = threshold, appearance, geometry

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The pairs, named `<id>/<chosen>-<rejected>`; nothing is random. What is left out is counted pair by pair.

        Raises:
            RecordError: for a verdict about a response that the record does not have.
        """
        for record in records:
            report.seen += 1
            distances = _scores(record, self.geometry)
            valid = np.flatnonzero(~np.isnan(distances))
            drop_many(report, f"a candidate has no score {self.geometry!r}", len(distances) - len(valid))
            if len(valid) < 2:
                report.drop(f"fewer than two candidates have a score {self.geometry!r}")
                continue
            near = distances <= self.threshold
            first, second = (valid[end] for end in np.triu_indices(len(valid), 1))
            drop_many(report, "neither candidate is near enough", int((~near[first] & ~near[second]).sum()))
            one = near[first] != near[second]
            winner = np.where(near[first], first, second)[one]
            yield from _pairs(record, winner, (first + second)[one] - winner, report)
            both = near[first] & near[second]
            yield from self._by_appearance(record, first[both], second[both], report)

    def _by_appearance(
        self, record: PreferenceRecord, first: np.ndarray, second: np.ndarray, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The pairs of candidates that are all near enough."""
        if isinstance(self.appearance, HumanVerdicts):
            votes = self.appearance.of(record)
            for pair in zip(first.tolist(), second.tolist(), strict=True):
                if pair not in votes:
                    report.drop("both candidates are near enough, and no person judged them")
                elif (made := decided(record, *pair, votes[pair], report)) is not None:
                    report.made += 1
                    yield made
            return
        if self.appearance is None:
            drop_many(report, "both candidates are near enough", len(first))
            return
        scores = _scores(record, self.appearance.score)
        judged = ~np.isnan(scores[first]) & ~np.isnan(scores[second])
        name = self.appearance.score
        drop_many(report, f"both candidates are near enough, and one has no score {name!r}", int((~judged).sum()))
        first, second = first[judged], second[judged]
        forwards = self.appearance.compare(scores[first], scores[second])[1]
        backwards = self.appearance.compare(scores[second], scores[first])[1]
        clear = forwards | backwards
        reason = f"both candidates are near enough, and {name!r} does not tell them apart"
        drop_many(report, reason, int((~clear).sum()))
        winner = np.where(forwards, first, second)[clear]
        yield from _pairs(record, winner, (first + second)[clear] - winner, report)

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        appearance = None if self.appearance is None else self.appearance.settings()
        return {"geometry": self.geometry, "threshold": self.threshold, "appearance": appearance}


def _scores(record: PreferenceRecord, name: str) -> np.ndarray:
    """(N,) float64 scores of the candidates, NaN where there is none; scores of records are finite."""
    return np.array([response.scores.get(name, math.nan) for response in record.responses], np.float64)


def _pairs(
    record: PreferenceRecord, winners: np.ndarray, losers: np.ndarray, report: StageReport
) -> Iterator[PreferenceRecord]:
    for winner, loser in zip(winners.tolist(), losers.tolist(), strict=True):
        if record.responses[winner].same_payload(record.responses[loser]):
            report.drop("both candidates are identical")
            continue
        report.made += 1
        yield paired(record, winner, loser, f"/{winner}-{loser}")


__all__ = ["GeometryFirst"]
