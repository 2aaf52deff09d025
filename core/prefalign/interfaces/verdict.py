"""What a judge can say about K responses, and the one-way conversions between the forms.

Group (one number each) → Ranking (order with ties) → pairs → unary labels. Each step forgets something, so none is
undone.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pair:
    """Two of the responses compared.

    Attributes:
        chosen, rejected: indices of the responses.
        probability: P(chosen is better) in [0, 1]; 1 for a plain verdict, the share of votes for a soft one.
        tie: the judge declared both equal. A tie counts as probability 1/2 in objectives that know no ties.
    """

    chosen: int = 0
    rejected: int = 1
    probability: float = 1.0
    tie: bool = False

    def misfit(self, count: int) -> str | None:
        """Why this verdict cannot belong to `count` responses; None if it can."""
        if not (0 <= self.chosen < count and 0 <= self.rejected < count) or self.chosen == self.rejected:
            return f"pair ({self.chosen}, {self.rejected}) does not name two of {count} responses"
        if not 0.0 <= self.probability <= 1.0:
            return f"expected a probability between 0 and 1, got {self.probability}"
        if self.tie and self.probability not in (0.5, 1.0):
            return f"a tie cannot have probability {self.probability}"
        return None


@dataclass(frozen=True, slots=True)
class Ranking:
    """An order over all responses: rank 0 is best, equal ranks are ties."""

    ranks: tuple[int, ...]

    def misfit(self, count: int) -> str | None:
        """Why this verdict cannot belong to `count` responses; None if it can."""
        if len(self.ranks) != count:
            return f"expected {count} ranks, got {len(self.ranks)}"
        return "ranks must be 0 or more" if min(self.ranks) < 0 else None


@dataclass(frozen=True, slots=True)
class Unary:
    """Each response judged alone: True is desirable."""

    labels: tuple[bool, ...]

    def misfit(self, count: int) -> str | None:
        """Why this verdict cannot belong to `count` responses; None if it can."""
        return None if len(self.labels) == count else f"expected {count} labels, got {len(self.labels)}"


@dataclass(frozen=True, slots=True)
class Group:
    """One finite number per response, such as a reward or a rating; higher is better."""

    rewards: tuple[float, ...]

    def misfit(self, count: int) -> str | None:
        """Why this verdict cannot belong to `count` responses; None if it can."""
        if len(self.rewards) != count:
            return f"expected {count} rewards, got {len(self.rewards)}"
        bad = [r for r in self.rewards if not math.isfinite(r)]
        return f"expected finite rewards, got {bad[0]}" if bad else None


Verdict = Pair | Ranking | Unary | Group


def ranking(group: Group) -> Ranking:
    """The order that the rewards give; equal rewards share a rank."""
    levels = sorted(set(group.rewards), reverse=True)
    return Ranking(tuple(levels.index(r) for r in group.rewards))


def pairs(verdict: Verdict) -> tuple[Pair, ...]:
    """All comparisons that a verdict implies; ties inside a ranking become tied pairs, unary labels imply none."""
    if isinstance(verdict, Pair):
        return (verdict,)
    if isinstance(verdict, Unary):
        return ()
    ranks = (ranking(verdict) if isinstance(verdict, Group) else verdict).ranks
    found = []
    for first, second in itertools.combinations(range(len(ranks)), 2):
        better, worse = (first, second) if ranks[first] <= ranks[second] else (second, first)
        tie = ranks[first] == ranks[second]
        found.append(Pair(better, worse, probability=0.5 if tie else 1.0, tie=tie))
    return tuple(found)


def labels(verdict: Verdict, count: int) -> tuple[bool | None, ...]:
    """Desirable, undesirable or unknown (None) for each of `count` responses; a plain pair says one of each."""
    if isinstance(verdict, Unary):
        return verdict.labels
    found: list[bool | None] = [None] * count
    if isinstance(verdict, Pair) and not verdict.tie and verdict.probability != 0.5:
        found[verdict.chosen] = verdict.probability > 0.5
        found[verdict.rejected] = verdict.probability < 0.5
    return tuple(found)
