"""How large a gap of a judge's scores must be for its verdict to be trusted (LeVo's strategy 3, arXiv 2506.07520)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefalign.interfaces import PrefalignError

_Z = 1.959963984540054  # of a two-sided 95 % interval


@dataclass(frozen=True)
class PrecisionThreshold:
    """A gap of scores, and what held-out comparisons say of the pairs that lie further apart.

    Attributes:
        gap: pairs whose scores differ by more than this are kept.
        precision: share of the kept pairs on which the judge is right.
        low, high: 95 % Wilson interval of the precision. The gap was chosen on the same pairs, so that it is a little
            too high.
        kept: number of pairs kept, of
        pairs: all those that were given.
    """

    gap: float
    precision: float
    low: float
    high: float
    kept: int
    pairs: int

    @property
    def coverage(self) -> float:
        """Share of the pairs that is kept."""
        return self.kept / self.pairs


def threshold_for_precision(
    gaps: Sequence[float] | Any, agrees: Sequence[bool] | Any, wanted: float = 0.8, fewest: int = 20
) -> PrecisionThreshold:
    """The smallest gap above which the judge agrees with people, or another trusted source, often enough.

    LeVo asks for agreement above 80 %. Give comparisons that the judge has not learnt from.

    Args:
        gaps: (N,) how far apart the judge's scores of two songs are, at least 0. Where they are equal it gives no
            verdict, and the pair is never kept.
        agrees: (N,) bool, whether the song with the higher score is the one that is preferred.
        wanted: precision to reach, in (0, 1].
        fewest: pairs that must be left for a precision to count.

    Raises:
        PrefalignError: for bad input, or if no gap reaches the precision; the message says what is reached.
    """
    apart, right = np.asarray(gaps, dtype=np.float64), np.asarray(agrees)
    if apart.ndim != 1 or apart.shape != right.shape or right.dtype != np.bool_:
        raise PrefalignError(
            f"expected gaps (N,) and as many true or false, got {list(apart.shape)} and {right.dtype} "
            f"{list(right.shape)}"
        )
    if not (np.isfinite(apart).all() and (apart >= 0).all()):
        raise PrefalignError("expected finite gaps of at least 0: how far the winner's score is ahead of the loser's")
    if not 0 < wanted <= 1 or fewest < 1:
        raise PrefalignError(f"expected wanted in (0, 1] and fewest of at least 1, got {wanted} and {fewest}")
    order = np.argsort(apart, kind="stable")
    apart, right = apart[order], right[order]
    limits = np.unique(np.concatenate([[0.0], apart]))
    first = np.searchsorted(apart, limits, side="right")  # the first pair that is further apart than each limit
    kept = len(apart) - first
    hits = np.concatenate([np.cumsum(right[::-1])[::-1], [0]])[first]
    counted = kept >= fewest
    precision = np.divide(hits, kept, out=np.zeros(len(kept)), where=counted)
    reached = np.flatnonzero(counted & (precision >= wanted))
    if not len(reached):
        best = f"the best is {precision.max():.3f}" if counted.any() else f"there are {int(kept[0])} apart at all"
        raise PrefalignError(
            f"no gap has a precision of {wanted} on {fewest} pairs or more of {len(apart)}; {best}. Train a better "
            "judge, give more comparisons, or want less"
        )
    chosen = int(reached[0])
    low, high = wilson_interval(int(hits[chosen]), int(kept[chosen]))
    return PrecisionThreshold(
        gap=float(limits[chosen]),
        precision=float(precision[chosen]),
        low=low,
        high=high,
        kept=int(kept[chosen]),
        pairs=len(apart),
    )


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), from 0 to 1 without any observation."""
    if not count:
        return 0.0, 1.0
    share, spread = hits / count, _Z**2 / count
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)
