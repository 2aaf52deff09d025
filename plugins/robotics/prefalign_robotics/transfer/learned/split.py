"""What in an observation is the agent, what the world it acts on, and what the circumstances of the episode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Segments

#: Frames in which a simulator lets things drop into place; no action has moved anything yet.
SETTLING = 3
#: Transitions in which the agent moves and has not reached anything yet.
EARLY = slice(5, 20)


@dataclass(frozen=True, eq=False)
class Parts:
    """Episodes taken apart, all centred.

    Attributes:
        agent: (E, T, D) in the agent's largest usual steps, so that a distance is a time to get there.
        world: (E, T, W) in the ranges that the episodes cover.
        context: (E, C) what stays as it is all through an episode, with deviation 1 over episodes.
    """

    agent: np.ndarray
    world: np.ndarray
    context: np.ndarray

    @property
    def displacement(self) -> np.ndarray:
        """(E, T) root mean square of how far the world is from where it was at first."""
        return rms(self.world - self.world[:, :1])


@dataclass(frozen=True, eq=False)
class Split:
    """A linear map from observations of O numbers to their parts.

    Attributes:
        centre: (O,).
        agent: (O, D).
        world: (O, W).
        context: (O, C).
    """

    centre: np.ndarray
    agent: np.ndarray
    world: np.ndarray
    context: np.ndarray

    def parts(self, episodes: Segments) -> Parts:
        """The parts of whole episodes of the task that the split was found in.

        Raises:
            SegmentError: for observations of another size.
        """
        if episodes.observations.shape[2] != len(self.centre):
            found = episodes.observations.shape[2]
            raise SegmentError(f"{episodes.name}: expected observations of {len(self.centre)} numbers, got {found}")
        centred = settled(episodes) - self.centre
        return Parts(centred @ self.agent, centred @ self.world, centred[:, 0] @ self.context)


#: A way to find the split from unlabelled episodes.
Splitter = Callable[[Segments], Split]


def settled(episodes: Segments) -> np.ndarray:
    """(E, T, O) float64 observations whose first frames all show what the episode starts from.

    Raises:
        SegmentError: for episodes too short for what is measured at their start.
    """
    if episodes.steps <= EARLY.stop:
        raise SegmentError(
            f"{episodes.name}: expected whole episodes of more than {EARLY.stop} steps, got {episodes.steps}"
        )
    values = episodes.observations.astype(np.float64)
    values[:, :SETTLING] = values[:, SETTLING : SETTLING + 1]
    return values


def ranges(values: np.ndarray) -> np.ndarray:
    """(…, F) how much values (E, T, F) vary inside an episode that moves them much: its 95 % quantile."""
    found: np.ndarray = np.quantile(np.ptp(values, axis=1), 0.95, axis=0)
    return found


def usual_speeds(values: np.ndarray) -> np.ndarray:
    """(F,) 98 % quantile of the size of a step of values (E, T, F)."""
    found: np.ndarray = np.quantile(np.abs(np.diff(values, axis=1)), 0.98, axis=(0, 1))
    return found


def with_actions_before(episodes: Segments, lags: int) -> np.ndarray:
    """(E, S, lags · A) actions of each early step and of the steps before it."""
    first, last = EARLY.start, EARLY.stop
    return np.concatenate([episodes.actions[:, first - lag : last - lag] for lag in range(lags)], -1).astype(np.float64)


def rms(values: np.ndarray) -> np.ndarray:
    """(…) root mean square over the last axis."""
    found: np.ndarray = np.sqrt(np.square(values).mean(-1))
    return found
