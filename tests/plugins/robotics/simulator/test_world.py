"""Numbered goal instances, and an expert for every task."""

import numpy as np
import pytest

from prefalign_robotics.simulator.errors import SimulatorError
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


def followed(world, actions):
    return [np.append(seen, (reward, done)) for seen, reward, done in map(world.step, actions)]


@pytest.mark.parametrize("task", ["window-open", "soccer", "pick-place"])
def test_a_present_has_the_same_future_again_to_the_bit(task):
    """Soccer and pick-place keep arrays that look into the simulator's memory, and must go on doing so."""
    world, generator = World(task), np.random.default_rng(0)
    expert, seen = world.expert(), world.reset(5)
    for _ in range(40):
        seen = world.step(np.clip(expert(seen), -1, 1))[0]
    snapshot, actions = world.save(), generator.uniform(-1, 1, (25, 4))
    shown = world.simulation[1].xpos.copy()
    expected = followed(world, actions)
    # Another instance places bodies elsewhere, and other steps leave other traces.
    world.reset(9)
    strange = followed(world, actions)
    assert not np.array_equal(strange, expected)
    for _ in range(2):
        world.restore(snapshot)
        assert np.array_equal(world.simulation[1].xpos, shown)
        world._environment._prev_obs[:] = 0
        world.restore(snapshot)
        assert np.array_equal(followed(world, actions), expected)
    other = World(task)
    other.reset(9)
    other.restore(snapshot)
    assert np.array_equal(followed(other, actions), expected)
    assert np.array_equal(run(world, 9, actions)[1:], np.array(strange)[:, :39])


def test_what_is_remembered_after_a_present_is_forgotten_with_it():
    world = World("reach")
    world.reset(0)
    snapshot = world.save()
    world._environment.noticed = True
    world.restore(snapshot)
    assert not hasattr(world._environment, "noticed")


def test_the_present_of_another_task_is_refused():
    world, other = World("reach"), World("push")
    world.reset(0)
    with pytest.raises(SimulatorError, match="expected a snapshot of push, got one of reach"):
        other.restore(world.save())
