"""Two tasks in which a hand carries a thing, as if Meta-World had simulated them."""

import numpy as np
import pytest
from tests.plugins.robotics.transfer.learned.conftest import STEPS, make_episodes

from prefalign_robotics.demo import preparation
from prefalign_robotics.demo.plan import Plan
from prefalign_robotics.simulator.episodes import Episodes
from prefalign_robotics.simulator.mixture import KINDS

#: Where the thing is carried in each task.
TASKS = {"carry-away": (0.6, 0.0), "carry-left": (0.0, 0.6)}
PLAN = Plan(episodes=40, steps=STEPS, length=30, block=12, blocks=2, pairs=100, cloning_steps=3, rollouts=2)


def reaching_episodes(task, count=40, seed=0):
    """Observations of 39 numbers and actions of 4, as the preset wants them; rewards grow towards the goal."""
    made = make_episodes(count, seed, TASKS[task], name=task)
    shape = made.episodes.observations.shape[:2]
    observations = np.zeros((*shape, 39), np.float32)
    observations[..., : made.episodes.observations.shape[2]] = made.episodes.observations
    actions = np.zeros((*shape, 4), np.float32)
    actions[..., :3] = np.clip(made.episodes.actions, -1, 1)
    rewards = np.exp(-made.to_goal / 0.3) + 0.2 * np.exp(-made.to_thing / 0.3)
    kinds = np.array([KINDS[row % 4] for row in range(count)])
    return Episodes(
        observations,
        actions,
        rewards.astype(np.float32),
        made.to_goal < 0.1,
        kinds,
        np.zeros(count, np.float32),
        np.arange(count),
        task,
    )


@pytest.fixture
def simulated(monkeypatch):
    """Replaces the simulator; the list holds the names of the tasks that it was asked for."""
    asked = []

    def generate(task, count, steps, seed, cache):
        asked.append(task)
        return reaching_episodes(task, count, seed)

    monkeypatch.setattr(preparation, "generate_episodes", generate)
    return asked
