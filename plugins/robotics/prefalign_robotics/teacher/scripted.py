"""A scripted teacher that knows the reward, with the weaknesses of people (B-Pref, Lee et al., arXiv 2111.03026)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Comparisons

#: What becomes of a pair without a preference: a label of 1/2, no comparison at all, or "the first is better", which
#: is what comparing returns with `<` makes of it.
Ties = Literal["half", "omit", "first"]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a teacher said.

    Attributes:
        comparisons: P answered pairs.
        rows: (P,) int64 which of the asked pairs they are.
        mistaken: (P,) bool, where the teacher said the opposite of what it meant.
        skipped: number of asked pairs that it found not worth comparing.
        tied: number of asked pairs that it found equal, whatever became of them.
    """

    comparisons: Comparisons
    rows: np.ndarray
    mistaken: np.ndarray
    skipped: int
    tied: int


@dataclass(frozen=True)
class ScriptedTeacher:
    """Prefers the segment of the larger return; by default without fail.

    B-Pref's teachers change one number each: Stoc has rationality 1, Mistake has mistakes 0.1, Myopic has discount
    0.9; its Skip and Equal take a tenth of the policy's mean return over a segment as threshold.

    Attributes:
        discount: gamma in (0, 1]; the step k before the last counts gamma^k, so that below 1 the end counts most.
        rationality: beta > 0, per unit of reward; None for the larger return without fail.
        mistakes: share of preferences that are turned round, in [0, 1].
        skip: pairs whose better return is below this are not answered; None to answer all.
        equal: returns that differ by no more than this are a tie; at 0, equal returns are.
        ties: what becomes of ties.

    Raises:
        SegmentError: for numbers out of range.
    """

    discount: float = 1.0
    rationality: float | None = None
    mistakes: float = 0.0
    skip: float | None = None
    equal: float = 0.0
    ties: Ties = "half"

    def __post_init__(self) -> None:
        for name, allowed, fits in (
            ("discount", "in (0, 1]", 0 < self.discount <= 1),
            ("rationality", "above 0, or None", self.rationality is None or self.rationality > 0),
            ("mistakes", "in [0, 1]", 0 <= self.mistakes <= 1),
            ("equal", "of at least 0", self.equal >= 0),
            ("ties", "half, omit or first", self.ties in ("half", "omit", "first")),
        ):
            if not fits:
                raise SegmentError(f"teacher: expected {name} {allowed}, got {getattr(self, name)!r}")

    def probability(self, rewards: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        """(P,) float64 how likely the teacher means the second of each pair; 1/2 for equal returns.

        Args:
            rewards: (N, T) of every segment.
            pairs: (P, 2) rows.
        """
        weights = self.discount ** np.arange(rewards.shape[1] - 1, -1, -1.0)
        returns = rewards.astype(np.float64) @ weights
        advantage = returns[pairs[:, 1]] - returns[pairs[:, 0]]
        if self.rationality is None:
            return (np.sign(advantage) + 1) / 2
        # P(second) = exp(beta R_2) / (exp(beta R_1) + exp(beta R_2)), in a form that cannot overflow.
        return (1 + np.tanh(self.rationality * advantage / 2)) / 2

    def answer(self, rewards: np.ndarray, pairs: np.ndarray, seed: int = 0) -> Answers:
        """Compare.

        Args:
            rewards: (N, T) of every segment, finite.
            pairs: (P, 2) rows to ask about.
            seed: of choices and mistakes. Each pair has draws of its own, so skips move no other answer.

        Raises:
            SegmentError: for rewards that are no finite (segments, steps), or pairs of segments that are not there.
        """
        _check(rewards, pairs)
        # Thresholds look at whole returns; only the preference itself is myopic.
        first, second = rewards.sum(1, dtype=np.float64)[pairs].T
        skipped = np.zeros(len(pairs), bool) if self.skip is None else np.maximum(first, second) < self.skip
        tied = ~skipped & (np.abs(first - second) <= self.equal)
        choices, slips = np.random.default_rng(seed).random((2, len(pairs)))
        mistaken = ~tied & (slips < self.mistakes)
        labels = (choices < self.probability(rewards, pairs)) ^ mistaken
        labels = np.where(tied, 0.5 if self.ties == "half" else 0.0, labels)
        rows = np.flatnonzero(~skipped & ~(tied if self.ties == "omit" else False))
        return Answers(
            Comparisons(pairs[rows], labels[rows]), rows, mistaken[rows], int(skipped.sum()), int(tied.sum())
        )


def _check(rewards: np.ndarray, pairs: np.ndarray) -> None:
    if rewards.ndim != 2 or not np.isfinite(rewards).all():
        raise SegmentError(f"teacher: expected finite rewards (segments, steps), got shape {rewards.shape}")
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise SegmentError(f"teacher: expected pairs (P, 2), got {pairs.shape}")
    if len(pairs) and not 0 <= pairs.min() <= pairs.max() < len(rewards):
        raise SegmentError(f"teacher: pairs name segments up to {pairs.max()} of {len(rewards)}")
