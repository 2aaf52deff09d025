"""A linear reward fitted to comparisons (Bradley and Terry): what a transfer by transport has to beat."""

from __future__ import annotations

import numpy as np
import scipy.optimize
import scipy.special


def fit_linear_reward(features: np.ndarray, pairs: np.ndarray, labels: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """(F,) weights w of the reward wᵀx that minimise Σ cross-entropy + |w|²/(2 strength).

    Args:
        features: (N, F) of segments, standardised.
        pairs: (P, 2) compared segments.
        labels: (P,) P(second is better) in [0, 1].
        strength: inverse of the penalty (C of other libraries), > 0.
    """
    differences = features[pairs[:, 1]] - features[pairs[:, 0]]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = differences @ weights
        # softplus(z) − y z is the cross-entropy of a soft label y under sigmoid(z).
        value = np.logaddexp(0, logits).sum() - labels @ logits + weights @ weights / (2 * strength)
        return value, differences.T @ (scipy.special.expit(logits) - labels) + weights / strength

    found = scipy.optimize.minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B")
    weights: np.ndarray = found.x
    return weights


def grouped_folds(groups: np.ndarray, folds: int, seed: int = 0) -> np.ndarray:
    """(P,) fold of each pair, whole groups together, folds about equally large."""
    names, sizes = np.unique(groups, return_counts=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    fold_of, filled = np.zeros(len(names), int), np.zeros(folds)
    for index in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of[index] = filled.argmin()
        filled[fold_of[index]] += sizes[index]
    return fold_of[np.searchsorted(names, groups)]
