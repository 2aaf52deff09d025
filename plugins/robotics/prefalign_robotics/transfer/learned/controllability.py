"""Tell the agent's numbers from the world's by what actions move from the first step on.

No number's meaning or place is assumed, only that each number belongs to one side.
"""

from __future__ import annotations

import numpy as np

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Segments
from prefalign_robotics.transfer.learned.split import (
    EARLY,
    SETTLING,
    Split,
    ranges,
    settled,
    usual_speeds,
    with_actions_before,
)

#: Deviation below which a number counts as constant.
STILL = 1e-6
#: Share of an early step's variance that actions explain where the number is the agent's.
CONTROLLED = 0.4
#: Actions that a step may follow from: that of the step itself and those before it.
LAGS = 3
#: Frames in which the world has to be at rest, in all but `RESTLESS` of the episodes.
REST = slice(6, 16)
RESTLESS = 0.3
#: Share of its range that a number at rest may move.
DRIFT = 0.03


def split_numbers(episodes: Segments) -> Split:
    """Assign each number of the observations to agent, world or context, or to none of them.

    Args:
        episodes: whole ones of one task, of mixed quality; a few of random or failing behaviour help.

    Raises:
        SegmentError: where no number answers to the actions, or nothing else ever moves.
    """
    values = settled(episodes)
    varying = values.std((0, 1)) > STILL
    moving = np.ptp(values, axis=1).max(0) > STILL
    moving &= ~delayed_copies(values, moving)
    spans = ranges(values)
    moved = (np.ptp(values[:, REST], axis=1) > DRIFT * spans).mean(0)
    controlled = early_control(values, with_actions_before(episodes, LAGS)) * moving
    least = min(CONTROLLED, 0.8 * np.sort(controlled)[-min(3, len(controlled))])
    agent = moving & (controlled >= max(least, STILL))
    if not (moving & ~agent).any() and agent.any():
        # Where the world is pushed early, actions explain it too; but the agent moves in every episode.
        agent &= (moved >= RESTLESS) | (moved > moved[agent].min())
    world = _calm(moved, moving & ~agent & (spans > STILL))
    if not agent.any() or not world.any():
        missing = "answers to the actions" if not agent.any() else "but the agent ever moves"
        raise SegmentError(
            f"{episodes.name}: nothing {missing} in these episodes, so that no contact, displacement or end can be "
            "learned; use hand-made features"
        )
    context = varying & (np.ptp(values, axis=1).max(0) <= STILL)
    return Split(
        values.mean((0, 1)),
        _chosen(agent, usual_speeds(values)),
        _chosen(world, spans),
        _chosen(context, values[:, 0].std(0)),
    )


def early_control(values: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """(O,) share of the variance of early steps that a linear function of the actions explains.

    Args:
        values: (E, T, O) observations.
        actions: (E, S, L) of the early steps.
    """
    steps = np.diff(values, axis=1)[:, EARLY].reshape(-1, values.shape[2])
    inputs = np.concatenate([actions.reshape(-1, actions.shape[2]), np.ones((len(steps), 1))], -1)
    left = steps - inputs @ np.linalg.lstsq(inputs, steps, rcond=None)[0]
    variance = steps.var(0)
    return np.where(variance > STILL**2, 1 - left.var(0) / np.maximum(variance, STILL**2), 0.0)


def delayed_copies(values: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """(O,) which moving numbers are another's value one step before, as where frames are stacked."""
    late = values[:, SETTLING:]
    found = np.zeros(values.shape[2], bool)
    for number in np.flatnonzero(moving):
        same = (late[:, 1:, number, None] == late[:, :-1, moving]).all((0, 1))
        found[number] = same.any()
    return found


def _calm(moved: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """(O,) candidates that rarely move before an agent can have touched them; at least the calmest one."""
    calm = candidates & (moved < RESTLESS)
    if candidates.any() and not calm.any():
        calm[np.flatnonzero(candidates)[moved[candidates].argmin()]] = True
    return calm


def _chosen(which: np.ndarray, units: np.ndarray) -> np.ndarray:
    """(O, D) map that picks numbers and divides them by their units."""
    picked = np.flatnonzero(which)
    found = np.zeros((len(which), len(picked)))
    found[picked, np.arange(len(picked))] = 1 / np.maximum(units[picked], STILL)
    return found
