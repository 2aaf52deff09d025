"""Pairs by several criteria at once: Mesh-RFT's rule (arXiv 2505.16761), and one with tolerances."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from prefalign.data.stages import paired
from prefalign.interfaces import PrefalignError, PreferenceRecord, Stage, StageReport, unknown_name
from prefalign_mesh3d.pairs.criteria import Criterion, candidate_scores, distinct_criteria, drop_many, total_utility

Clear = Literal["every", "one"]


class AllCriteria(Stage):
    """All pairs of a record's candidates of which one is better by the criteria.

    With `clear_in="every"` and criteria as they come this is Mesh-RFT's rule: strictly better in boundary edge ratio,
    topology score and Hausdorff distance. 8 candidates make at most 28 pairs. With `clear_in="one"` the chosen one is
    not worse in any criterion, by more than its slack, and clearly better in one at least.

    A pair's gain is the sum over the criteria of weight × difference of scores, or of their logarithms where the
    criterion is relative: with a relative Chamfer distance and an absolute boundary edge ratio
    log(CD_r / CD_c) + BER_r − BER_c.

    Args:
        criteria: by which the candidates are compared. A candidate without one of the scores is in no pair.
        clear_in: in how many criteria the chosen one must be clearly better.
        ended: name of the score that is above 0 where the sampling of a mesh came to its end; the chosen one must have.
        per_prompt: keep so many pairs of a record, those with the largest gain; None keeps all.

    Raises:
        PrefalignError: for an unknown `clear_in`, criteria given twice, a slack without effect, or a `per_prompt`
            below 1.
    """

    def __init__(
        self,
        criteria: Sequence[Criterion],
        clear_in: Clear = "every",
        ended: str | None = None,
        per_prompt: int | None = None,
    ) -> None:
        self.criteria = distinct_criteria(criteria)
        if clear_in not in ("every", "one"):
            raise unknown_name("clear_in", clear_in, ("every", "one"))
        slack = next((c.score for c in self.criteria if c.slack), None)
        if clear_in == "every" and slack is not None:
            raise PrefalignError(f"the slack of {slack!r} has no effect where every criterion must be clearly better")
        if per_prompt is not None and per_prompt < 1:
            raise PrefalignError(f"expected a per_prompt of at least 1, got {per_prompt}")
        self.clear_in, self.ended, self.per_prompt = clear_in, ended, per_prompt

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The pairs of a record by falling gain, named `<id>/<chosen>-<rejected>`; nothing is random.

        Raises:
            RecordError: for a negative score of a relative criterion.
        """
        for record in records:
            report.seen += 1
            index, scores = candidate_scores(record, self._named(), report)
            if len(index) < 2:
                report.drop("fewer than two candidates have every score")
                continue
            left = self.per_prompt or math.inf
            for chosen, rejected in zip(*self._pairs(scores, report), strict=True):
                winner, loser = int(index[chosen]), int(index[rejected])
                if record.responses[winner].same_payload(record.responses[loser]):
                    report.drop("both candidates are identical")
                elif not left:
                    report.drop(f"not among the {self.per_prompt} pairs of the largest gain")
                else:
                    left -= 1
                    report.made += 1
                    yield paired(record, winner, loser, f"/{winner}-{loser}")

    def _named(self) -> tuple[Criterion, ...]:
        """The criteria, and the end as one more column that nothing is compared by."""
        return self.criteria if self.ended is None else (*self.criteria, Criterion(self.ended, "higher"))

    def _pairs(self, scores: np.ndarray, report: StageReport) -> tuple[list[int], list[int]]:
        """Rows of the chosen and of the rejected candidates, the pairs of the largest gain first."""
        first, second = np.triu_indices(len(scores), 1)
        # Both directions of all pairs at once: (2P,) rows.
        mine, other = np.concatenate([first, second]), np.concatenate([second, first])
        compared = [c.compare(scores[mine, k], scores[other, k]) for k, c in enumerate(self.criteria)]
        tolerable, clear = np.stack(compared, axis=1)
        better = clear.all(0) if self.clear_in == "every" else tolerable.all(0) & clear.any(0)
        drop_many(report, "neither candidate is better by the criteria", len(first) - int(better.sum()))
        if self.ended is not None:
            ended = scores[mine, -1] > 0
            drop_many(report, "the better candidate has no end", int((better & ~ended).sum()))
            better &= ended
        utility = total_utility(self.criteria, scores)
        chosen, rejected = mine[better], other[better]
        order = np.argsort(utility[rejected] - utility[chosen], kind="stable")
        return chosen[order].tolist(), rejected[order].tolist()

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        criteria = [criterion.settings() for criterion in self.criteria]
        named = {"clear_in": self.clear_in, "ended": self.ended, "per_prompt": self.per_prompt}
        return {"criteria": criteria, **named}


__all__ = ["AllCriteria"]
