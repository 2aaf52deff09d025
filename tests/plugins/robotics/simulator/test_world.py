"""Numbered goal instances, and an expert for every task."""

import numpy as np
import pytest

from prefalign_robotics.simulator.world import Expert, World, tasks

pytest.importorskip("metaworld")


def run(world, instance, actions):
    seen = [world.reset(instance)]
    for action in actions:
        seen.append(world.step(action)[0])
    return np.array(seen)


def test_a_number_gives_the_same_start_whatever_happened_before():
    actions = np.random.default_rng(0).uniform(-1, 1, (8, 4))
    world = World("push")
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = run(world, 7, actions)
    other = run(world, 8, -actions)
    assert np.array_equal(run(world, 7, actions), first)
    assert np.array_equal(run(World("push"), 7, actions), first)
    assert not np.array_equal(other[0, 36:39], first[0, 36:39])
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_every_task_has_an_expert():
    assert len(tasks()) == 50
    assert type(Expert("peg-insert-side")._policy).__name__ == "SawyerPegInsertionSideV3Policy"
    for task in tasks():
        action = Expert(task)(np.random.default_rng(0).uniform(0, 1, 39))
        assert action.shape == (4,)
        assert action.dtype == np.float64


def test_an_expert_does_its_task():
    world = World("window-close")
    expert, observation, done = world.expert(), world.reset(0), []
    for _ in range(100):
        observation, reward, success = world.step(np.clip(expert(observation), -1, 1))
        done.append(success)
    assert done[-1]
    assert not done[0]
    assert reward > 5
