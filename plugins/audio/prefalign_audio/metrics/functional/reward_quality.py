"""How well a reward model's scores agree with people's labels, with intervals from a bootstrap over prompts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from prefalign.evaluation.bootstrap import Interval, bounds, resample
from prefalign.interfaces import PrefalignError

Floats = NDArray[np.float64]
Kind = Literal["binary", "ratings"]


def rank_correlation(scores: Floats, labels: Floats) -> float:
    """Spearman's ρ with mean ranks for ties, in [-1, 1]; NaN where either is constant."""
    return _correlation(stats.rankdata(scores), stats.rankdata(labels))


def kendall(scores: Floats, labels: Floats) -> float:
    """Kendall's τ-b, in [-1, 1]; NaN where either is constant."""
    if np.ptp(scores) == 0 or np.ptp(labels) == 0:
        return float("nan")
    return float(stats.kendalltau(scores, labels).statistic)


def area_under_curve(scores: Floats, labels: Floats) -> float:
    """Probability that a clip with a label above 1/2 has the higher score than one without, ties counting half.

    In [0, 1]; NaN where all labels are on one side. Computed from rank sums (Mann and Whitney).
    """
    positive = labels > 0.5
    many, few = int(positive.sum()), int((~positive).sum())
    if not many or not few:
        return float("nan")
    ranks = stats.rankdata(scores)
    return float((ranks[positive].sum() - many * (many + 1) / 2) / (many * few))


def calibration_error(scores: Floats, labels: Floats, bins: int = 10) -> float:
    """Expected calibration error over equal bins of [0, 1]: Σ_b n_b/N · |mean score − mean label| (1706.04599, eq. 3).

    A score on an edge belongs to the bin above it, 1 to the last.
    """
    place = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = np.bincount(place, scores - labels, minlength=bins)
    return float(np.abs(gaps).sum() / len(scores))


def agreement(scores: Floats, labels: Floats) -> float:
    """Share of clips whose score is less than 1/2 away from the label: the accuracy that BATON reports."""
    return float((np.abs(scores - labels) < 0.5).mean())


def pair_counts(scores: Floats, labels: Floats, groups: NDArray[np.int64], number: int) -> tuple[Floats, Floats]:
    """Correctly ordered pairs (equal scores count half) and all pairs of unequal labels, by group.

    Args:
        scores, labels: (N,).
        groups: (N,) the group of each clip, 0 to number − 1; only clips of one group are compared.
        number: G.

    Returns:
        (G,) and (G,).
    """
    right, pairs = np.zeros(number), np.zeros(number)
    order = np.argsort(groups, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        better = labels[members][:, None] > labels[members][None, :]
        margins = (scores[members][:, None] - scores[members][None, :])[better]
        right[groups[members[0]]] = ((np.sign(margins) + 1) / 2).sum()
        pairs[groups[members[0]]] = len(margins)
    return right, pairs


def reward_quality(
    scores: Floats,
    labels: Floats,
    groups: NDArray[np.int64],
    *,
    kind: Kind = "binary",
    rounds: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """All figures with percentile intervals. Prompts are drawn whole, since clips of one prompt resemble one another.

    Args:
        scores: (N,) the reward model's; probabilities where labels are binary.
        labels: (N,) people's; in [0, 1] where binary (a share of raters is allowed), else any finite rating.
        groups: (N,) which prompt each clip answers.
        kind: `binary` gives `pair_accuracy`, `auc`, `ece`, `accuracy`, `spearman` and `kendall`; `ratings` leaves out
            `auc`, `ece` and `accuracy`, which have no meaning there.
        rounds: bootstrap rounds.
        confidence: of the intervals, in (0, 1).
        seed: of the draws.

    Returns:
        Interval by figure. A figure that the data cannot give is NaN, such as a pair accuracy without two clips of
        unequal labels for one prompt.

    Raises:
        PrefalignError: without clips, for unequal lengths, or numbers outside the ranges above.
    """
    _check(scores, labels, groups, kind)
    names, places = np.unique(groups, return_inverse=True)
    right, pairs = pair_counts(scores, labels, places, len(names))
    figures: dict[str, Callable[[Floats, Floats], float]] = {"spearman": rank_correlation, "kendall": kendall}
    if kind == "binary":
        figures |= {"auc": area_under_curve, "ece": calibration_error, "accuracy": agreement}
    drawn = resample(np.ones(len(names), dtype=np.int64), rounds, seed)
    replicas = {name: np.empty(rounds) for name in figures}
    for index, counts in enumerate(drawn):
        clips = np.repeat(np.arange(len(scores)), counts[places])
        for name, figure in figures.items():
            replicas[name][index] = figure(scores[clips], labels[clips])
    values = {name: figure(scores, labels) for name, figure in figures.items()}
    with np.errstate(invalid="ignore"):  # no pairs: NaN, as promised
        values["pair_accuracy"] = float(np.divide(right.sum(), pairs.sum()))
        replicas["pair_accuracy"] = (drawn @ right) / (drawn @ pairs)
    found = {}
    for name, value in values.items():
        low, high = (float("nan"),) * 2 if np.isnan(value) else map(float, bounds(replicas[name], confidence))
        found[name] = Interval(value, low, high, confidence)
    return found


def _check(scores: Floats, labels: Floats, groups: NDArray[np.int64], kind: Kind) -> None:
    if kind not in ("binary", "ratings"):
        raise PrefalignError(f"expected labels of the kind 'binary' or 'ratings', got {kind!r}")
    if not len(scores) == len(labels) == len(groups) or not len(scores):
        raise PrefalignError(
            f"expected scores, labels and groups of one length above 0, got {len(scores)}, {len(labels)}, {len(groups)}"
        )
    for name, values in {"scores": scores, "labels": labels}.items():
        fine = (values >= 0) & (values <= 1) if kind == "binary" else np.isfinite(values)
        if not fine.all():
            index = int(np.flatnonzero(~fine)[0])
            expected = "a number in [0, 1]" if kind == "binary" else "a finite number"
            raise PrefalignError(f"{name}[{index}]: expected {expected}, got {values[index]}")


def _correlation(first: Floats, second: Floats) -> float:
    first, second = first - first.mean(), second - second.mean()
    scale = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / scale) if scale > 0 else float("nan")
