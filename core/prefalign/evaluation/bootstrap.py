"""Percentile bootstrap: how far a number moves when the judgements are drawn anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prefalign.interfaces import PrefalignError


@dataclass(frozen=True)
class Interval:
    """An estimate and the bounds of its confidence interval, all in the unit of the estimate.

    Attributes:
        confidence: share of experiments whose interval covers the truth, in (0, 1).
    """

    estimate: float
    low: float
    high: float
    confidence: float = 0.95

    def __str__(self) -> str:
        return f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}]"


def resample(counts: NDArray[np.int64], rounds: int, seed: int) -> NDArray[np.int64]:
    """(rounds, K) counts of K kinds of observation when as many as there were are drawn with replacement.

    Equal observations are counted rather than listed, so that a round costs as much as there are kinds.
    """
    total = int(counts.sum())
    return np.random.default_rng(seed).multinomial(total, counts / total, size=rounds)


def bounds(values: NDArray[np.float64], confidence: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper percentile over the first axis. A round that gave NaN speaks for neither side: it counts as
    minus infinity for the lower and as infinity for the upper bound.

    Raises:
        PrefalignError: for a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise PrefalignError(f"expected a confidence between 0 and 1, got {confidence}")
    tail = (1 - confidence) / 2
    below, above = np.where(np.isnan(values), -np.inf, values), np.where(np.isnan(values), np.inf, values)
    # Without interpolation, which has no meaning beside an infinite neighbour.
    low = np.quantile(below, tail, axis=0, method="lower")
    return low, np.quantile(above, 1 - tail, axis=0, method="higher")
