"""Several axes at once: which points no other beats, how much of the space they reach, and how sure a difference is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefalign.evaluation.bootstrap import Interval, bounds, resample
from prefalign.interfaces import PrefalignError


def non_dominated(points: ArrayLike, directions: Sequence[str]) -> NDArray[np.bool_]:
    """Which points lie on the Pareto front.

    A point is dominated if another is at least as good on every axis and better on one. Of equal points on the front
    all are on it. A point with a NaN is not on the front, and keeps no other off it.

    Args:
        points: (n, d) finite or infinite numbers; n may be 0.
        directions: (d,) "max" or "min", what is better on each axis.

    Returns:
        (n,) mask. Time and memory grow with n².

    Raises:
        PrefalignError: for another shape, or a direction that is neither.
    """
    values = _upwards(points, directions)
    at_least = np.ones((len(values), len(values)), dtype=bool)  # [i, j]: j is at least as good as i on every axis
    better = np.zeros_like(at_least)
    for column in values.T:
        at_least &= column[None, :] >= column[:, None]
        better |= column[None, :] > column[:, None]
    # A NaN compares false with everything, so that its point beats no other.
    beaten = np.logical_or.reduce(at_least & better, axis=1)
    return np.asarray(~beaten & ~np.isnan(values).any(axis=1))


def hypervolume(points: ArrayLike, reference: ArrayLike, directions: Sequence[str]) -> float:
    """Volume of what the points dominate and what is better than the reference on every axis, computed exactly.

    Args:
        points: (n, d). One that is not better than the reference on every axis adds nothing; nor does one with a NaN.
        reference: (d,) a bad value on each axis. Volumes can be compared only if they have the same.
        directions: (d,) "max" or "min".

    Returns:
        The volume, in the product of the axes' units; 0 without points. Time grows with n^(d − 1) log n.

    Raises:
        PrefalignError: for another shape, a direction that is neither, a reference that is not finite, or an infinite
            point, which would make the volume infinite.
    """
    values = _upwards(points, directions)
    corner = _upwards(np.asarray(reference, dtype=np.float64)[None], directions)[0]
    if not np.isfinite(corner).all():
        raise PrefalignError(f"expected a finite reference, got {reference!r}")
    gains = values - corner
    gains = gains[(gains > 0).all(axis=1)]  # a NaN is not above 0
    if np.isinf(gains).any():
        raise PrefalignError("a point with an infinite value dominates an infinite volume")
    return _volume(gains)


def _volume(gains: NDArray[np.float64]) -> float:
    """Union of the boxes from the origin to each row: slabs along the last axis, each with the volume of its base."""
    if not len(gains):
        return 0.0
    if gains.shape[1] == 1:
        return float(gains.max())
    if gains.shape[1] == 2:
        widest = gains[np.argsort(-gains[:, 0], kind="stable")]
        # From the widest box inwards, the union is as high as the highest box so far.
        widths = widest[:, 0] - np.append(widest[1:, 0], 0.0)
        return float(widths @ np.maximum.accumulate(widest[:, 1]))
    highest = gains[np.argsort(-gains[:, -1], kind="stable")]
    heights = highest[:, -1] - np.append(highest[1:, -1], 0.0)
    return sum(float(height) * _volume(highest[: i + 1, :-1]) for i, height in enumerate(heights) if height)


def mean_and_deviation(values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and sample standard deviation (n − 1) over the first axis, which is the seeds; NaN deviations for one seed.

    Raises:
        PrefalignError: without values.
    """
    found = np.asarray(values, dtype=np.float64)
    if not found.ndim or not len(found):
        raise PrefalignError("expected the values of at least one seed")
    deviation = found.std(axis=0, ddof=1) if len(found) > 1 else np.full(found.shape[1:], np.nan)
    return found.mean(axis=0), deviation


def paired_difference(
    values: Sequence[float], base: Sequence[float], *, confidence: float = 0.95, rounds: int = 2000, seed: int = 0
) -> Interval:
    """Mean difference to the base, with a percentile bootstrap interval over the pairs.

    With n pairs there are few distinct resamples: intervals of three to five seeds are coarse, and too narrow.

    Args:
        values: (n,) of a model, by seed or by prompt.
        base: (n,) of the base, in the same order.
        confidence: of the interval, in (0, 1).
        rounds: bootstrap rounds.
        seed: of the draws.

    Raises:
        PrefalignError: for lists of different lengths, empty ones, or numbers that are not finite.
    """
    differences = np.asarray(values, dtype=np.float64) - np.asarray(base, dtype=np.float64)
    if len(values) != len(base) or not len(values) or not np.isfinite(differences).all():
        raise PrefalignError(f"expected finite numbers in pairs, got {list(values)} and {list(base)}")
    kinds, counts = np.unique(differences, return_counts=True)
    low, high = bounds(resample(counts, rounds, seed) @ kinds / len(differences), confidence)
    return Interval(float(differences.mean()), float(low), float(high), confidence)


def _upwards(points: ArrayLike, directions: Sequence[str]) -> NDArray[np.float64]:
    """(n, d) values of which larger is better on every axis."""
    for direction in directions:
        if direction not in ("max", "min"):
            raise PrefalignError(f"expected directions 'max' or 'min', got {direction!r}")
    values = np.asarray(points, dtype=np.float64)
    if values.size == 0 and values.ndim == 1:
        values = values.reshape(0, len(directions))
    if values.ndim != 2 or values.shape[1] != len(directions) or not directions:
        raise PrefalignError(
            f"expected (n, {len(directions)}) points, one column for each direction, got {values.shape}"
        )
    return values * np.where([direction == "max" for direction in directions], 1.0, -1.0)
