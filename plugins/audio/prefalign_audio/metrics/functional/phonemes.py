"""How many phonemes of a lyric were sung wrong, left out or added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PhonemeErrors:
    """The errors of one utterance, or of several, which add up.

    Attributes:
        substitutions: phonemes heard as others.
        deletions: phonemes asked for and not heard.
        insertions: phonemes heard and not asked for.
        asked: how many were asked for.
    """

    substitutions: int
    deletions: int
    insertions: int
    asked: int

    @property
    def total(self) -> int:
        """All errors: the edit distance."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors a phoneme asked for, 0 or more; insertions take it above 1. NaN where none was asked for."""
        return self.total / self.asked if self.asked else float("nan")

    def __add__(self, other: PhonemeErrors) -> PhonemeErrors:
        """Both together."""
        return PhonemeErrors(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.asked + other.asked,
        )


def phoneme_errors(asked: Sequence[str], heard: Sequence[str]) -> PhonemeErrors:
    """The least errors that turn what was asked into what was heard (Levenshtein).

    Where several ways are equally short, the one with the most substitutions counts.

    Args:
        asked: phonemes of the lyric.
        heard: phonemes that were recognised.
    """
    n, m = len(asked), len(heard)
    names = {name: number for number, name in enumerate({*asked, *heard})}
    wanted, found = ([names[name] for name in phonemes] for phonemes in (asked, heard))
    # Every error costs `unit`, and a substitution 1 less, which decides between equally short ways; there are fewer
    # than `unit` of them, so that both numbers can be read from the cost.
    unit = n + m + 1
    steps, target = unit * np.arange(m + 1), np.array(found, dtype=np.int64)
    cost = steps.copy()
    for phoneme in wanted:
        fresh = cost + unit  # a deletion
        np.minimum(fresh[1:], cost[:-1] + np.where(target == phoneme, 0, unit - 1), out=fresh[1:])
        cost = np.minimum.accumulate(fresh - steps) + steps  # then any number of insertions
    total = -(-int(cost[m]) // unit)
    substitutions = total * unit - int(cost[m])
    deletions = (total - substitutions + n - m) // 2  # deletions less insertions are n - m
    return PhonemeErrors(substitutions, deletions, total - substitutions - deletions, n)
