"""Progress without names: how far the agent is from contact, how far the world has moved, how far it is from its end.

Learned from unlabelled episodes of one task; no reward, no preference and no number's meaning enters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Segments
from prefalign_robotics.transfer.learned.controllability import split_numbers
from prefalign_robotics.transfer.learned.split import Parts, Split, Splitter, rms

#: Columns of `LearnedFeatures`, in order.
NAMES = ("contact", "displacement", "end")
#: What they say of progress where nobody says anything: near contact, far from the start, near the end.
PROGRESS = (-1.0, 1.0, -1.0)

#: World speeds, in ranges a step, below which the world is still, and above which faster is no surer contact.
_STILL, _FAST = 0.004, 0.05
#: Frames at an episode's end whose mean is where the world ended, and how far it must have moved to count.
_LAST = 20
_MOVED = 0.3


@dataclass(frozen=True, eq=False)
class LearnedFeatures:
    """Three numbers a step that mean the same in every task in which they were learned.

    Attributes:
        split: of observations into agent, world and context.
        contact: (2 W + C + 1, D) agent at contact, linear in the world now, the world at first, and the context.
        end: (W + C + 1, W) world at the end, linear in the world at first and the context.
    """

    split: Split
    contact: np.ndarray
    end: np.ndarray

    def __call__(self, episodes: Segments) -> np.ndarray:
        """(E, T, 3) `NAMES` for whole episodes of the task: log(1 + steps to contact), displacement, end distance."""
        parts = self.split.parts(episodes)
        apart = np.linalg.norm(parts.agent - _at_contact_inputs(parts) @ self.contact, axis=-1)
        # Far away it matters little how far; transport on plain distances would be led by such segments.
        left = rms(parts.world - (_end_inputs(parts) @ self.end)[:, None])
        return np.stack([np.log1p(apart), parts.displacement, left], -1)


def learn_features(episodes: Segments, splitter: Splitter = split_numbers) -> LearnedFeatures:
    """Learn them from whole episodes of mixed quality, of which some move the world.

    Args:
        episodes: two dozen give nearly what a hundred give; with a dozen the split may find no world.
        splitter: `split_numbers`, or `split_subspaces` where observations are mixtures of what they show.

    Raises:
        SegmentError: where the agent or the world cannot be told, or the world hardly moves in any episode.
    """
    split = splitter(episodes)
    parts = split.parts(episodes)
    moved = min(1.0, float(parts.displacement[:, -_LAST:].mean(1).max()))
    if moved <= _MOVED:
        raise SegmentError(
            f"{episodes.name}: no episode ends with the world moved by more than {moved:.2f} of its range, so that no "
            "end can be learned; add episodes that get somewhere"
        )
    return LearnedFeatures(split, _contact(parts), _end(parts))


def _contact(parts: Parts) -> np.ndarray:
    """Where the agent is while the world moves; frames far from that count less each round."""
    speed = rms(np.diff(parts.world, axis=1))
    base = np.where(speed < _STILL, 0.0, np.minimum(speed, _FAST)).ravel()
    inputs = _at_contact_inputs(parts)[:, :-1].reshape(len(base), -1)
    outputs = parts.agent[:, :-1].reshape(len(base), -1)
    weights = base
    for _ in range(4):
        found = weighted_ridge(inputs, outputs, weights, 0.001)
        squared = np.square(outputs - inputs @ found).sum(-1)
        weights = base / (1 + squared / max(np.average(squared, weights=weights), 1e-12))
    return found


def _end(parts: Parts) -> np.ndarray:
    """Where the world ends in most episodes that move it."""
    outputs, inputs = parts.world[:, -_LAST:].mean(1), _end_inputs(parts)
    moved = np.minimum(rms(outputs - parts.world[:, 0]), 1.0)
    base = np.where(moved > _MOVED, moved, 0.0)
    weights = base
    for _ in range(7):
        found = weighted_ridge(inputs, outputs, weights, 0.05)
        squared = np.square(outputs - inputs @ found).sum(-1)
        scale = max(np.average(squared, weights=weights), 1e-12)
        weights = base * np.exp(-squared / (2 * scale))
    return found


def weighted_ridge(inputs: np.ndarray, outputs: np.ndarray, weights: np.ndarray, strength: float) -> np.ndarray:
    """(F, D) coefficients of outputs (N, D) on inputs (N, F), of which the last is 1 and its coefficient free.

    Args:
        inputs, outputs: of N samples.
        weights: (N,) of the samples, at least 0.
        strength: of the penalty, in mean diagonals of the other inputs' weighted Gram matrix.
    """
    weighted = inputs * weights[:, None]
    gram = inputs.T @ weighted
    # Inputs that are 0 all through still need some penalty.
    penalty = np.full(len(gram), strength * max(float(np.diagonal(gram)[:-1].mean()), 1e-12))
    penalty[-1] = 0
    found: np.ndarray = np.linalg.solve(gram + np.diag(penalty), weighted.T @ outputs)
    return found


def _at_contact_inputs(parts: Parts) -> np.ndarray:
    """(E, T, 2 W + C + 1)."""
    steps = (parts.world.shape[1], 1)
    fixed = np.concatenate([parts.world[:, 0], parts.context, np.ones((len(parts.world), 1))], -1)
    return np.concatenate([parts.world, np.tile(fixed[:, None], (*steps,))], -1)


def _end_inputs(parts: Parts) -> np.ndarray:
    """(E, W + C + 1)."""
    return np.concatenate([parts.world[:, 0], parts.context, np.ones((len(parts.world), 1))], -1)
