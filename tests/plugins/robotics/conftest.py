"""Small tasks with a known preference."""

from pathlib import Path

import numpy as np
import pytest

import prefalign_robotics
from prefalign_robotics.segments.segments import Comparisons, Segments, all_pairs

DATA = Path(prefalign_robotics.__file__).parent / "data"


def make_task(count, seed, name, mix=None, steps=6):
    """Segments that get better as their hidden numbers grow; observed through any linear map."""
    generator = np.random.default_rng(seed)
    # Many are bad and few are good, so that the set is no mirror image of itself.
    quality = generator.exponential(1.0, count)
    growth = quality[:, None] * np.linspace(0.2, 1, steps)
    hidden = np.stack([growth, growth**2 / 3, 0.5 * growth], -1) + 0.02 * generator.standard_normal((count, steps, 3))
    observations = hidden if mix is None else hidden @ mix
    actions = 0.1 * generator.standard_normal((count, steps, 2))
    pairs = all_pairs(count)
    labels = (quality[pairs[:, 1]] > quality[pairs[:, 0]]).astype(float)
    segments = Segments(observations.astype(np.float32), actions.astype(np.float32), name)
    return segments, Comparisons(pairs, labels)


@pytest.fixture
def source():
    return make_task(30, 0, "source")


@pytest.fixture
def target():
    return make_task(24, 1, "target")
