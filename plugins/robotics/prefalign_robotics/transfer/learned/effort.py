"""How hard and how jerkily an agent works, which people judge as much as progress."""

from __future__ import annotations

import numpy as np

from prefalign_robotics.segments.segments import Segments
from prefalign_robotics.transfer.learned.split import Split, rms

#: Steps over which roughness is averaged.
WINDOW = 10


def action_roughness(episodes: Segments, window: int = WINDOW) -> np.ndarray:
    """(E, T) mean size of the change from one action to the next over the last `window` changes, from 0 at first.

    Sizes are means over an action's numbers, in the task's own units.
    """
    changes = np.abs(np.diff(episodes.actions.astype(np.float64), axis=1)).mean(-1)
    total = np.cumsum(np.pad(changes, ((0, 0), (1, 0))), axis=1)
    counts = np.minimum(np.arange(total.shape[1]), window)
    found: np.ndarray = (total - total[:, np.arange(total.shape[1]) - counts]) / np.maximum(counts, 1)
    return found


def agent_speed(episodes: Segments, split: Split) -> np.ndarray:
    """(E, T) root mean square of the agent's step from the frame before, in its largest usual steps; 0 at first."""
    steps = np.diff(split.parts(episodes).agent, axis=1)
    return np.pad(rms(steps), ((0, 0), (1, 0)))
