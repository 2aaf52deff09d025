"""Carry preferences over from a labelled task to one without labels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from prefalign.functional.transport.sinkhorn import project
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Comparisons, Segments, all_pairs
from prefalign_robotics.transfer.chance import energy_choice, margins_of, shuffled_labels
from prefalign_robotics.transfer.couplings import Coupler, Gromov
from prefalign_robotics.transfer.features import StepFeatures, flattened, raw, time_means
from prefalign_robotics.transfer.linear import fit_linear_reward
from prefalign_robotics.transfer.preferences import literal, preference_matrix

#: Marginal errors above this mean that a coupling did not converge.
MARGINAL_LIMIT = 0.1
#: Share of shuffles that may carry as far as the labels do.
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Transfer:
    """Preferences for pairs of a target task.

    Attributes:
        pairs: (Q, 2) rows of target segments.
        margins: (Q,) in [−1/2, 1/2]: above 0 if the second is better. NaN: no answer.
        epsilon: strength of smoothing; None where there is none.
        diagnostics: by name: `energies` and `energy_p` of the blind choice, `marginal_error` of the coupling, and
            `flip_risk`, the share of random starts that end in the opposite answer.
        warnings: what speaks against these preferences, in sentences.
    """

    pairs: np.ndarray
    margins: np.ndarray
    epsilon: float | None = None
    diagnostics: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def probability(self) -> np.ndarray:
        """(Q,) P(the second is better) in [0, 1]; NaN where there is no answer."""
        return np.asarray(self.margins + 0.5)

    @property
    def confidence(self) -> np.ndarray:
        """(Q,) |2 P − 1| in [0, 1], for ranking answers; 0 where there is none."""
        return np.abs(2 * np.nan_to_num(self.margins))


def transfer_preferences(
    source: Segments,
    comparisons: Comparisons,
    target: Segments,
    pairs: np.ndarray | None = None,
    *,
    coupler: Coupler | None = None,
    features: StepFeatures = raw,
    epsilon: float | None = None,
    form: Literal["mean", "literal"] = "mean",
    shuffles: int = 100,
    starts: int = 10,
    seed: int = 0,
) -> Transfer:
    """Preferences of the target's pairs from a coupling of both tasks' segments.

    Args:
        source: segments of the labelled task.
        comparisons: its labels.
        target: segments of the other task.
        pairs: (Q, 2) target pairs that are asked for; all if None.
        coupler: how segments are matched; `Gromov()` if None.
        features: numbers per step.
        epsilon: strength of smoothing, in units of the largest distance (Gromov: its square); if None, chosen among
            the coupler's by `energy_choice`, which looks at no target label.
        form: `mean` label of the source pairs that the mixtures meet; or PEARL's `literal` sum of labels times products
            of coupling, taken for a probability, which it is not: nearly all such sums are below 1/2.
        shuffles: of the source's labels, for that choice.
        starts: random ones, for the flip risk of Gromov; 0 for none.
        seed: of shuffles and starts.

    Raises:
        SegmentError: for comparisons of segments that are not there, no preference among them, features that do not
            fit together, or that are the same for all segments.
    """
    coupler = coupler or Gromov()
    pairs = all_pairs(len(target)) if pairs is None else pairs
    comparisons.within(source)
    if not comparisons.decided.any():
        raise SegmentError(f"{source.name}: all {len(comparisons)} comparisons are ties, so there is nothing to carry")
    known, asked = (_vectors(segments, features) for segments in (source, target))
    coupler.check(known, asked, (source.name, target.name))
    epsilons = coupler.epsilons if epsilon is None else (epsilon,)
    plans = [coupler.couple(known, asked, strength) for strength in epsilons]
    couplings = torch.cat([plan.coupling for plan in plans])
    observed = margins_of(couplings, comparisons, comparisons.labels[None], pairs)[:, 0]
    choice = energy_choice(
        observed, margins_of(couplings, comparisons, shuffled_labels(comparisons.labels, shuffles, seed), pairs)
    )
    margins, error = observed[choice.index], float(plans[choice.index].marginal_error)
    diagnostics: dict[str, object] = {
        "energies": dict(zip(map(str, epsilons), choice.energies, strict=True)),
        "energy_p": choice.p,
        "marginal_error": error,
        "answered": float(margins.isfinite().double().mean()),
    }
    if isinstance(coupler, Gromov) and starts:
        diagnostics["flip_risk"] = _flip_risk(
            coupler, known, asked, epsilons[choice.index], comparisons, pairs, margins, starts, seed
        )
    if form == "literal":
        margins = _literal(couplings[choice.index], comparisons, pairs)
    found = Transfer(pairs, margins.numpy(), epsilons[choice.index] or None, diagnostics, _doubts(diagnostics))
    for doubt in found.warnings:
        warnings.warn(f"{source.name} to {target.name}: {doubt}", stacklevel=2)
    return found


def transfer_linear(
    source: Segments,
    comparisons: Comparisons,
    target: Segments,
    pairs: np.ndarray | None = None,
    *,
    features: StepFeatures = raw,
    strength: float = 1.0,
) -> Transfer:
    """Preferences of the target's pairs by a linear reward on the source's time means, used as it is.

    Args:
        source, comparisons, target, pairs, features: as in `transfer_preferences`.
        strength: inverse of the penalty on the weights.

    Raises:
        SegmentError: for comparisons of segments that are not there, or other numbers in the target.
    """
    pairs = all_pairs(len(target)) if pairs is None else pairs
    known, asked = (time_means(features(segments)).numpy() for segments in (source, target))
    if known.shape[1] != asked.shape[1]:
        raise SegmentError(
            f"a linear reward needs the same numbers in both tasks, but {source.name} has {known.shape[1]} and "
            f"{target.name} {asked.shape[1]}; use Gromov, or features that mean the same"
        )
    comparisons.within(source)
    rewards = asked @ fit_linear_reward(known, comparisons.pairs, comparisons.labels, strength)
    margins = 1 / (1 + np.exp(rewards[pairs[:, 0]] - rewards[pairs[:, 1]])) - 0.5
    return Transfer(pairs, margins)


def vote(transfers: list[Transfer]) -> Transfer:
    """The mean of several answers to the same pairs, each divided by its mean size, so that none is louder.

    Sources, couplers and features may differ. An answer that is missing does not count.

    Raises:
        SegmentError: for answers to different pairs.
    """
    if not all(np.array_equal(one.pairs, transfers[0].pairs) for one in transfers):
        raise SegmentError("a vote needs answers to the same pairs")
    stacked = np.stack([one.margins / max(float(np.nanmean(np.abs(one.margins))), 1e-12) for one in transfers])
    answered = np.isfinite(stacked)
    mean = np.where(answered, stacked, 0).sum(0) / np.maximum(answered.sum(0), 1)
    margins = np.where(answered.any(0), 0.5 * mean / max(np.abs(mean).max(), 1e-12), np.nan)
    return Transfer(transfers[0].pairs, margins, warnings=tuple(w for one in transfers for w in one.warnings))


def _literal(coupling: Tensor, comparisons: Comparisons, pairs: np.ndarray) -> Tensor:
    """(Q,) sums minus 1/2; a segment ties with itself, and pairs without a label add nothing."""
    labels = torch.from_numpy(comparisons.labels).to(coupling)
    signed, observed = preference_matrix(torch.from_numpy(comparisons.pairs), labels, len(coupling))
    # A pair that was compared several times counts once, by its mean label.
    stated = torch.where(observed > 0, signed / observed.clamp(min=1) + 0.5, 0.0)
    stated.diagonal().fill_(0.5)
    first, second = torch.from_numpy(pairs).T
    return literal(coupling, stated)[first, second] - 0.5


def _vectors(segments: Segments, features: StepFeatures) -> Tensor:
    """(1, N, D) of segments that can be told apart."""
    vectors = flattened(features(segments))[None]
    if not bool((vectors != vectors[:, :1]).any()):
        raise SegmentError(f"{segments.name}: all segments have the same features, so none can be told from another")
    return vectors


def _flip_risk(
    coupler: Gromov,
    source: Tensor,
    target: Tensor,
    epsilon: float,
    comparisons: Comparisons,
    pairs: np.ndarray,
    margins: Tensor,
    starts: int,
    seed: int,
) -> float:
    """Share of random starts whose margins point the other way."""
    source, target = source.expand(starts, -1, -1), target.expand(starts, -1, -1)
    shape = (starts, source.shape[1], target.shape[1])
    # Entries that differ by orders of magnitude, so that a start says more than the product does.
    noise = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=source.dtype)
    start = project(
        noise, noise.new_full(shape[:2], 1 / shape[1]), noise.new_full((starts, shape[2]), 1 / shape[2]), 50
    )
    couplings = coupler.couple(source, target, epsilon, start).coupling
    others = margins_of(couplings, comparisons, comparisons.labels[None], pairs)[:, 0].nan_to_num(0)
    return float((others @ margins.nan_to_num(0) < 0).double().mean())


def _doubts(diagnostics: Mapping[str, object]) -> tuple[str, ...]:
    found = []
    p, error, risk, answered = (diagnostics.get(n) for n in ("energy_p", "marginal_error", "flip_risk", "answered"))
    if isinstance(p, float) and p > SIGNIFICANCE:
        found.append(f"the labels carry no further than shuffled ones do (p {p:.2f}); do not rely on the answers")
    if isinstance(error, float) and error > MARGINAL_LIMIT:
        found.append(f"the coupling did not converge (marginal error {error:.2f}); use a larger epsilon")
    if isinstance(risk, float) and risk > 0.2:
        found.append(f"{risk:.0%} of random starts give the opposite answer; check a few labels of the target")
    if isinstance(answered, float) and answered < 1:
        found.append(f"{1 - answered:.0%} of the pairs got no answer: no labelled source pairs are like them")
    return tuple(found)
