"""Win rate of one model over another, with its uncertainty."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from prefalign.evaluation.bootstrap import Interval, bounds, resample
from prefalign.interfaces import PrefalignError


def win_rate(
    outcomes: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    rounds: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean outcome, with a percentile bootstrap interval.

    Args:
        outcomes: (n,) 1 for a win, 0 for a loss, 1/2 for a tie, or a judge's probability of a win.
        clusters: (n,) what each outcome belongs to, such as the prompt that was judged in both orders or by several
            judges. Clusters are drawn whole, since their outcomes depend on one another; each outcome alone if None.
        confidence: of the interval, in (0, 1).
        rounds: bootstrap rounds.
        seed: of the draws.

    Raises:
        PrefalignError: without outcomes, for one outside [0, 1], or for clusters of another number.
    """
    values = checked_outcomes(outcomes)
    sums, sizes = values, np.ones(len(values))
    if clusters is not None:
        if len(clusters) != len(values):
            raise PrefalignError(f"expected one cluster for each of {len(values)} outcomes, got {len(clusters)}")
        places = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
        member = np.array([places[name] for name in clusters])
        sums, sizes = np.zeros(len(places)), np.zeros(len(places))
        np.add.at(sums, member, values)
        np.add.at(sizes, member, 1)
    kinds, counts = np.unique(np.stack([sums, sizes], axis=1), axis=0, return_counts=True)
    drawn = resample(counts, rounds, seed) @ kinds
    low, high = bounds(drawn[:, 0] / drawn[:, 1], confidence)
    return Interval(float(values.mean()), float(low), float(high), confidence)


def checked_outcomes(outcomes: Sequence[float]) -> NDArray[np.float64]:
    """(n,) outcomes as float64.

    Raises:
        PrefalignError: without outcomes, or for one outside [0, 1].
    """
    values = np.asarray(outcomes, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise PrefalignError(f"expected a list of at least one outcome, got shape {values.shape}")
    wrong = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if len(wrong):
        raise PrefalignError(f"outcomes[{wrong[0]}]: expected a number between 0 and 1, got {values[wrong[0]]}")
    return values
