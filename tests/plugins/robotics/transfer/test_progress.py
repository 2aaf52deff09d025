"""Hand-made progress by hand."""

import numpy as np
import pytest

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Segments
from prefalign_robotics.transfer.progress import metaworld_progress


def test_distances_of_hand_object_and_goal():
    observations = np.full((2, 2, 39), 7.0, np.float32)
    observations[..., 0:3] = [0, 0, 0]
    observations[0, :, 4:7] = [[0, 3, 4], [0, 3, 0]]
    observations[1, :, 4:7] = 0
    observations[..., 36:39] = [2, 3, 4]
    found = metaworld_progress(Segments(observations, observations))
    assert found[0] == pytest.approx(np.array([[5, 0, 2], [3, 4, np.sqrt(20)]]))
    assert found[1] == pytest.approx(np.array([[0, 0, np.sqrt(29)]] * 2))


def test_other_observations_are_refused():
    other = np.ones((2, 3, 4), np.float32)
    with pytest.raises(SegmentError, match="39 numbers, got 4"):
        metaworld_progress(Segments(other, other))
    hidden = np.ones((2, 3, 39), np.float32)
    hidden[..., 36:] = 0
    with pytest.raises(SegmentError, match="goal is hidden"):
        metaworld_progress(Segments(hidden, hidden))
