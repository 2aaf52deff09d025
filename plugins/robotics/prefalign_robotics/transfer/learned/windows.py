"""Cut numbers of whole episodes into segments: features that look back to an episode's start need it whole."""

from __future__ import annotations

import numpy as np

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Segments


def cut(values: np.ndarray, episodes: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """(N, length, …) stretches of values (E, T, …) per episode and step.

    Args:
        values: one number or more for each step of each episode.
        episodes: (N,) rows of episodes.
        starts: (N,) first steps.
        length: steps of each stretch, ≥ 1.

    Raises:
        SegmentError: for a stretch that reaches beyond the episodes or their steps.
    """
    if episodes.ndim != 1 or episodes.shape != starts.shape or length < 1:
        given = f"{episodes.shape}, {starts.shape} and {length} steps"
        raise SegmentError(f"expected an episode and a start for each stretch of at least one step, got {given}")
    inside = (episodes >= 0) & (episodes < len(values)) & (starts >= 0) & (starts + length <= values.shape[1])
    if not inside.all():
        row = int(np.flatnonzero(~inside)[0])
        raise SegmentError(
            f"stretch {row} takes steps {starts[row]} to {starts[row] + length - 1} of episode {episodes[row]}, but "
            f"there are {len(values)} episodes of {values.shape[1]} steps"
        )
    found: np.ndarray = values[episodes[:, None], starts[:, None] + np.arange(length)]
    return found


def observed(segments: Segments) -> np.ndarray:
    """(N, T, O) what was observed, as it is: the features of segments whose observations are learned features."""
    return segments.observations
