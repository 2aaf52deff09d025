"""Records of trajectories."""

import numpy as np
import pytest

from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Response


def trajectory(steps, seed, observation_size=3, action_size=2):
    generator = np.random.default_rng(seed)
    return Response(
        arrays={
            "observations": generator.standard_normal((steps, observation_size)).astype(np.float32),
            "actions": generator.standard_normal((steps, action_size)).astype(np.float32),
        }
    )


def record(*responses, name="r", probability=1.0):
    return PreferenceRecord(
        id=name, prompt=Prompt(text="task"), responses=responses, verdict=Pair(0, 1, probability=probability)
    )


@pytest.fixture
def records():
    """Three pairs of segments of 2 to 7 steps."""
    return [record(trajectory(2 + i, i), trajectory(5 + i, 10 + i), name=f"r{i}") for i in range(3)]
