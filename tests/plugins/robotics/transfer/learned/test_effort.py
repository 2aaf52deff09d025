"""Roughness and speed by hand."""

import numpy as np
import pytest

from prefalign_robotics.segments.segments import Segments
from prefalign_robotics.transfer.learned.effort import action_roughness, agent_speed
from prefalign_robotics.transfer.learned.split import Split


def test_roughness_is_the_mean_change_of_the_last_steps():
    actions = np.zeros((2, 5, 2), np.float32)
    actions[0, :, 0] = [0, 2, 2, -2, -2]
    episodes = Segments(np.zeros((2, 5, 1), np.float32), actions)
    assert action_roughness(episodes, 2).tolist() == [pytest.approx([0, 1, 0.5, 1, 1]), [0, 0, 0, 0, 0]]
    assert action_roughness(episodes)[0] == pytest.approx([0, 1, 0.5, 1, 0.75])


def test_speed_is_in_steps_of_the_agent():
    observations = np.zeros((2, 30, 2), np.float32)
    observations[0, 10:, 0] = 3
    observations[0, 10:, 1] = 4
    split = Split(np.zeros(2), np.diag([1.0, 0.5]), np.zeros((2, 0)), np.zeros((2, 0)))
    speed = agent_speed(Segments(observations, observations), split)
    assert speed.shape == (2, 30)
    assert np.flatnonzero(speed[0]).tolist() == [10]
    assert speed[0, 10] == pytest.approx(np.sqrt((9 + 4) / 2))
