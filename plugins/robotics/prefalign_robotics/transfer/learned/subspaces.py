"""Tell the agent from the world where observations are mixtures of both, so that no single number belongs to one.

The agent is what early actions move (canonical correlation); the world is what else moves.
"""

from __future__ import annotations

import numpy as np

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Segments
from prefalign_robotics.transfer.learned.split import EARLY, Split, rms, settled, usual_speeds, with_actions_before

#: Variances inside episodes, in the largest, above which a direction moves, and below which it is fixed.
MOVES, FIXED = 1e-3, 1e-8
#: Squared canonical correlation with the actions from which a direction is the agent's.
CONTROLLED = 0.05
#: Actions that a step may follow from: that of the step itself and those before it.
LAGS = 4
#: Ridge of both covariances, in mean variances.
_RIDGE = 1e-4


def split_subspaces(episodes: Segments) -> Split:
    """Directions of agent, world and context in observations of any linear basis.

    Args:
        episodes: whole ones of one task, of mixed quality; numbers of about equal size, as after standardising.

    Raises:
        SegmentError: where no direction answers to the actions, or nothing else moves.
    """
    values = settled(episodes)
    centre = values.mean((0, 1))
    within = values - values.mean(1, keepdims=True)
    variances, basis = np.linalg.eigh(_covariance(within.reshape(-1, within.shape[2])))
    moving = basis[:, variances > max(MOVES * variances[-1], np.finfo(float).tiny)]
    if not moving.shape[1]:
        raise SegmentError(f"{episodes.name}: no observation changes in any episode, so that nothing can be learned")
    readouts, patterns = _agent(values @ moving, with_actions_before(episodes, LAGS))
    # What the agent's motion leaves untouched: the rest would see the agent move and call it the world.
    rest = np.linalg.svd(patterns)[0][:, patterns.shape[1] :]
    if not readouts.shape[1] or not rest.shape[1]:
        missing = "answers to the actions" if not readouts.shape[1] else "but the agent moves"
        raise SegmentError(
            f"{episodes.name}: nothing {missing} in these episodes, so that no contact, displacement or end can be "
            "learned; use hand-made features"
        )
    agent, world = moving @ readouts, moving @ rest
    moved = values @ world
    span = np.quantile(rms(moved - moved[:, :1]).max(1), 0.95)
    fixed = basis[:, variances < FIXED * variances[-1]]
    return Split(
        centre,
        agent / usual_speeds(values @ agent),
        world / max(float(span), np.finfo(float).tiny),
        fixed @ _whitening(values[:, 0] @ fixed),
    )


def _agent(moving: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K, D) readouts of the agent, and (K, D) how the moving directions change as the agent moves."""
    steps = np.diff(moving, axis=1)[:, EARLY].reshape(-1, moving.shape[2])
    steps, inputs = steps - steps.mean(0), actions.reshape(len(steps), -1)
    inputs = inputs - inputs.mean(0)
    own = _inverse_root(_covariance(steps))
    cross = own @ (steps.T @ inputs / len(steps)) @ _inverse_root(_covariance(inputs))
    directions, correlations, _ = np.linalg.svd(cross, full_matrices=False)
    readouts = own @ directions[:, np.square(correlations) >= CONTROLLED]
    return readouts, _covariance(steps) @ readouts


def _covariance(centred: np.ndarray) -> np.ndarray:
    found: np.ndarray = centred.T @ centred / len(centred)
    return found


def _inverse_root(covariance: np.ndarray) -> np.ndarray:
    size = len(covariance)
    ridge = max(_RIDGE * np.trace(covariance) / size, np.finfo(float).tiny)
    values, basis = np.linalg.eigh(covariance + ridge * np.eye(size))
    found: np.ndarray = (basis / np.sqrt(values)) @ basis.T
    return found


def _whitening(values: np.ndarray) -> np.ndarray:
    """(F, C) map of values (E, F) to numbers of deviation 1 that do not depend on the basis's choice."""
    if not values.shape[1]:
        return np.zeros((0, 0))
    variances, basis = np.linalg.eigh(_covariance(values - values.mean(0)))
    kept = variances > FIXED * max(variances[-1], FIXED)
    found: np.ndarray = basis[:, kept] / np.sqrt(variances[kept])
    return found
