"""One number per candidate, and when a difference of two of them counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from prefalign.interfaces import PrefalignError, PreferenceRecord, StageReport, unknown_name

#: What a relative number of 0 counts as, so that a perfect distance has a finite gain.
SMALLEST = 1e-12


@dataclass(frozen=True, slots=True)
class Criterion:
    """A score of `Response.scores`, which way it is better, and how large a difference must be.

    Attributes:
        score: name of the score.
        better: `lower` (distances, ratios of bad edges) or `higher`.
        scale: differences count as they are (`absolute`), or as ratios of numbers of at least 0 (`relative`).
        slack: by how much the chosen candidate may be worse; 0.02 of a relative score is 2 %. At least 0.
        clear: by more than how much it must be better to be clearly so; at least `slack`, below 1 if relative.
        weight: factor on the gain, where gains of several criteria are added up; > 0.

    Raises:
        PrefalignError: for unknown names (with near ones) and numbers out of range.
    """

    score: str
    better: Literal["lower", "higher"] = "lower"
    scale: Literal["absolute", "relative"] = "absolute"
    slack: float = 0.0
    clear: float = 0.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.better not in ("lower", "higher"):
            raise unknown_name(f"better of {self.score!r}", self.better, ("lower", "higher"))
        if self.scale not in ("absolute", "relative"):
            raise unknown_name(f"scale of {self.score!r}", self.scale, ("absolute", "relative"))
        if not 0 <= self.slack < math.inf:
            raise PrefalignError(f"criterion {self.score!r}: expected a slack of at least 0, got {self.slack}")
        if not self.slack <= self.clear < math.inf:
            # Otherwise either of two candidates could be clearly better than the other.
            problem = f"expected clear of at least slack ({self.slack}), got {self.clear}"
            raise PrefalignError(f"criterion {self.score!r}: {problem}")
        if self.scale == "relative" and self.clear >= 1:
            raise PrefalignError(f"criterion {self.score!r}: nothing is better by {self.clear:.0%}; give clear below 1")
        if not 0 < self.weight < math.inf:
            raise PrefalignError(f"criterion {self.score!r}: expected a weight above 0, got {self.weight}")

    def compare(self, mine: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether the first of two scores is not worse beyond the slack, and whether it is clearly better.

        Args:
            mine, other: (P,) scores of both ends of P pairs.

        Returns:
            Two (P,) bool arrays.
        """
        good, bad = (mine, other) if self.better == "lower" else (other, mine)
        if self.scale == "absolute":
            return good <= bad + self.slack, good < bad - self.clear
        return good <= bad * (1 + self.slack), good < bad * (1 - self.clear)

    def utility(self, values: np.ndarray) -> np.ndarray:
        """(n,) numbers whose differences are gains: plus or minus the score or its logarithm, times the weight."""
        sign = -self.weight if self.better == "lower" else self.weight
        return sign * (np.log(np.maximum(values, SMALLEST)) if self.scale == "relative" else values)

    def settings(self) -> dict[str, Any]:
        """Everything that decides a comparison, as plain JSON values."""
        return asdict(self)


def candidate_scores(
    record: PreferenceRecord, criteria: Sequence[Criterion], report: StageReport
) -> tuple[np.ndarray, np.ndarray]:
    """The candidates that have every score.

    Args:
        record: N candidates with scores.
        criteria: K criteria.
        report: candidates without a score are counted there; they could not be judged, and are in no pair.

    Returns:
        (n,) int64 indices of the candidates, ascending, and (n, K) float64 scores.

    Raises:
        RecordError: for a negative score of a relative criterion.
    """
    kept, rows = [], []
    for index, response in enumerate(record.responses):
        missing = next((c.score for c in criteria if c.score not in response.scores), None)
        if missing is not None:
            report.drop(f"a candidate has no score {missing!r}")
            continue
        for criterion in criteria:
            if criterion.scale == "relative" and response.scores[criterion.score] < 0:
                problem = f"expected a score of at least 0 for ratios, got {response.scores[criterion.score]}"
                raise record.error(problem, f"responses[{index}].scores.{criterion.score}")
        kept.append(index)
        rows.append([response.scores[criterion.score] for criterion in criteria])
    return np.array(kept, np.int64), np.array(rows, np.float64).reshape(len(rows), len(criteria))


def drop_many(report: StageReport, reason: str, times: int) -> None:
    """Count several pairs that are left out for one reason, or none."""
    if times:
        report.dropped[reason] = report.dropped.get(reason, 0) + int(times)


def total_utility(criteria: Sequence[Criterion], scores: np.ndarray) -> np.ndarray:
    """(n,) sums of the criteria's utilities over the columns of (n, K) scores."""
    return np.sum([criterion.utility(scores[:, column]) for column, criterion in enumerate(criteria)], axis=0)


def distinct_criteria(criteria: Sequence[Criterion]) -> tuple[Criterion, ...]:
    """The criteria, at least one and none twice.

    Raises:
        PrefalignError: otherwise.
    """
    names = [criterion.score for criterion in criteria]
    if not names:
        raise PrefalignError("expected at least one criterion")
    if twice := [name for name in names if names.count(name) > 1]:
        raise PrefalignError(f"the criterion {twice[0]!r} stands twice")
    return tuple(criteria)


__all__ = ["SMALLEST", "Criterion", "candidate_scores", "distinct_criteria", "drop_many", "total_utility"]
