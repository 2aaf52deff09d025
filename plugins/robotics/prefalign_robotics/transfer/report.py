"""Transferred preferences beside labels of the target that the transfer never saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from prefalign_robotics.segments.segments import Comparisons, Segments, frame_groups
from prefalign_robotics.transfer.chance import accuracy, flipped_labels, luck, margins_of, shuffled_labels
from prefalign_robotics.transfer.couplings import Coupler
from prefalign_robotics.transfer.features import StepFeatures, flattened, time_means
from prefalign_robotics.transfer.linear import fit_linear_reward, grouped_folds
from prefalign_robotics.transfer.transfer import Transfer, transfer_linear

_FIFTHS = 5


def assess(found: Transfer, labels: np.ndarray) -> dict[str, Any]:
    """How good answers are.

    Args:
        found: answers to Q pairs.
        labels: (Q,) P(the second is better); pairs of 1/2 are left out.

    Returns:
        `pairs` decided by the labels; `accuracy` on them; `majority`, that of always naming the side that is named more
        often; `answered`, the share with an answer; `curve`, accuracies from the least to the most confident fifth;
        `confident_half`, that of the more confident half.
    """
    decided = labels != 0.5
    margins, wanted = found.margins[decided], labels[decided]
    share = float((wanted > 0.5).mean())
    order = np.argsort(np.abs(np.nan_to_num(margins)), kind="stable")
    parts = np.array_split(order, min(_FIFTHS, len(order)))
    return {
        "pairs": int(decided.sum()),
        "accuracy": _accuracy(margins, wanted),
        "majority": max(share, 1 - share),
        "answered": float(np.isfinite(margins).mean()),
        "curve": [_accuracy(margins[part], wanted[part]) for part in parts],
        "confident_half": _accuracy(margins[order[len(order) // 2 :]], wanted[order[len(order) // 2 :]]),
    }


def _accuracy(margins: np.ndarray, labels: np.ndarray) -> float:
    return float(accuracy(torch.from_numpy(margins), labels))


def coupling_luck(
    observed: float,
    source: Segments,
    comparisons: Comparisons,
    target: Segments,
    judged: Comparisons,
    coupler: Coupler,
    features: StepFeatures,
    draws: int = 199,
    seed: int = 1,
) -> dict[str, dict[str, float]]:
    """An observed accuracy beside those of shuffled labels, and of labels flipped by groups that share frames.

    Each draw chooses its epsilon blind, as the transfer did.
    """
    known, asked = (flattened(features(segments))[None] for segments in (source, target))
    couplings = torch.cat([coupler.couple(known, asked, epsilon).coupling for epsilon in coupler.epsilons])
    groups = frame_groups(source, comparisons.pairs)
    found = {}
    for name, labels in (
        ("shuffled", shuffled_labels(comparisons.labels, draws, seed)),
        ("flipped", flipped_labels(comparisons.labels, groups, draws, seed)),
    ):
        chance = luck(observed, margins_of(couplings, comparisons, labels, judged.pairs), judged.labels)
        found[name] = {"p": chance.p, "top": chance.top}
    return found


def linear_luck(
    observed: float,
    source: Segments,
    comparisons: Comparisons,
    target: Segments,
    judged: Comparisons,
    features: StepFeatures,
    draws: int = 199,
    seed: int = 1,
) -> dict[str, dict[str, float]]:
    """The same for the linear reward, fitted anew to each draw."""
    groups = frame_groups(source, comparisons.pairs)
    found = {}
    for name, drawn in (
        ("shuffled", shuffled_labels(comparisons.labels, draws, seed)),
        ("flipped", flipped_labels(comparisons.labels, groups, draws, seed)),
    ):
        margins = []
        for labels in drawn:
            meaningless = Comparisons(comparisons.pairs, labels)
            margins.append(transfer_linear(source, meaningless, target, judged.pairs, features=features).margins)
        reached = accuracy(torch.from_numpy(np.stack(margins)), judged.labels)
        p = (1 + int((reached >= observed - 1e-12).sum())) / (1 + draws)
        found[name] = {"p": p, "top": float(reached.quantile(0.95))}
    return found


def in_task(target: Segments, judged: Comparisons, features: StepFeatures, folds: int = 5, seed: int = 0) -> Transfer:
    """What the target's own labels give: a linear reward, cross-validated without splitting groups of shared frames."""
    values = time_means(features(target)).numpy()
    fold_of = grouped_folds(frame_groups(target, judged.pairs), folds, seed)
    margins = np.full(len(judged), np.nan)
    for fold in range(folds):
        held = fold_of == fold
        weights = fit_linear_reward(values, judged.pairs[~held], judged.labels[~held])
        rewards = values @ weights
        first, second = judged.pairs[held].T
        margins[held] = 1 / (1 + np.exp(rewards[first] - rewards[second])) - 0.5
    return Transfer(judged.pairs, margins)
