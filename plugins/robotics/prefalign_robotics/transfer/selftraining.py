"""A student of the transfer's confident answers, which answers all of the target's pairs anew."""

from __future__ import annotations

import numpy as np

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.transfer.features import standardised
from prefalign_robotics.transfer.linear import fit_linear_reward
from prefalign_robotics.transfer.transfer import Transfer

#: Steps at either end of a segment that the student sees apart.
_ENDS = 5
#: Inverse of the penalty on the student's weights.
_STRENGTH = 0.1


def self_train(
    found: Transfer, values: np.ndarray, blocks: np.ndarray | None = None, strength: float = _STRENGTH
) -> Transfer:
    """Answers of a linear reward that is fitted to the more confident half of a transfer's answers.

    No label of the target enters, but its segments do: new ones need a new student.

    Args:
        found: answers to Q pairs.
        values: (N, T, F) features of the target's segments, few and invariant ones.
        blocks: (Q,) number of the transfer that each pair was part of, whose confident halves are taken apart; if
            None, all are of one.
        strength: inverse of the penalty.

    Raises:
        SegmentError: where no pair was answered, or pairs name segments that have no features.
    """
    if found.pairs.max(initial=0) >= len(values):
        raise SegmentError(f"pairs name segments up to {found.pairs.max()}, but there are features of {len(values)}")
    taught = confident_half(found.margins, blocks) & (np.nan_to_num(found.margins) != 0)
    if not taught.any():
        raise SegmentError("the transfer answered no pair, so that a student has nothing to learn from")
    vectors = student_vectors(values)
    weights = fit_linear_reward(vectors, found.pairs[taught], (found.margins[taught] > 0).astype(float), strength)
    rewards = vectors @ weights
    first, second = found.pairs.T
    margins = 1 / (1 + np.exp(rewards[first] - rewards[second])) - 0.5
    return Transfer(found.pairs, margins, found.epsilon, found.diagnostics, found.warnings)


def confident_half(margins: np.ndarray, blocks: np.ndarray | None = None) -> np.ndarray:
    """(Q,) the more confident half of margins (Q,) in each block (Q,); answers that are missing come last."""
    size = np.abs(np.nan_to_num(margins))
    blocks = np.zeros(len(margins), int) if blocks is None else blocks
    chosen = np.zeros(len(margins), bool)
    for block in np.unique(blocks):
        rows = np.flatnonzero(blocks == block)
        chosen[rows[np.argsort(-size[rows], kind="stable")[: (len(rows) + 1) // 2]]] = True
    return chosen


def student_vectors(values: np.ndarray) -> np.ndarray:
    """(N, 3 F + F (F + 1) / 2) means over time, over the first and last steps, and of products of two features."""
    values = standardised(values)
    rows, columns = np.triu_indices(values.shape[2])
    products = (values[..., rows] * values[..., columns]).mean(1)
    vectors = np.concatenate([values.mean(1), values[:, :_ENDS].mean(1), values[:, -_ENDS:].mean(1), products], -1)
    # One penalty for all needs one scale.
    return standardised(vectors[:, None])[:, 0]
