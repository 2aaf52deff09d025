"""Hand-made features of progress for observations whose numbers are known, the measure for learned ones."""

from __future__ import annotations

import numpy as np

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Segments

#: Where Meta-World's 39 numbers hold the hand, the object and the goal.
HAND, OBJECT, GOAL = slice(0, 3), slice(4, 7), slice(36, 39)
_SIZE = 39


def metaworld_progress(segments: Segments) -> np.ndarray:
    """(N, T, 3) distances in metres: hand to object, object to where it was at first, object to goal.

    Args:
        segments: of Meta-World's state observations. Whole episodes, cut into windows afterwards, measure the second
            distance from an episode's start; segments measure it from their own.

    Raises:
        SegmentError: for observations of another size, or a goal that is hidden (all 0).
    """
    values = segments.observations.astype(np.float64)
    if values.shape[2] != _SIZE:
        raise SegmentError(
            f"{segments.name}: expected Meta-World's {_SIZE} numbers, got {values.shape[2]}; learn features instead"
        )
    if not values[..., GOAL].any():
        raise SegmentError(f"{segments.name}: the goal is hidden (all 0); make the environment show it")
    hand, thing, goal = (values[..., part] for part in (HAND, OBJECT, GOAL))
    return np.stack([np.linalg.norm(d, axis=-1) for d in (hand - thing, thing - thing[:, :1], goal - thing)], -1)
