"""The mixture is reproducible, within bounds, and worth preferring in."""

import warnings

import numpy as np
import pytest

from prefalign.interfaces import PrefalignError
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator import mixture
from prefalign_robotics.simulator.errors import SimulatorError
from prefalign_robotics.simulator.mixture import KINDS, generate_episodes

pytest.importorskip("metaworld")
ARRAYS = ("observations", "actions", "rewards", "success", "kinds", "noise", "instances")


def same(first, second):
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ARRAYS)


@pytest.fixture(scope="module")
def episodes():
    return generate_episodes("window-open", 4, 12, seed=3)


def test_shapes_kinds_and_bounds(episodes):
    assert episodes.observations.shape == (4, 12, 39)
    assert episodes.observations.dtype == episodes.actions.dtype == episodes.rewards.dtype == np.float32
    assert episodes.actions.shape == (4, 12, 4)
    assert episodes.success.dtype == bool
    assert episodes.kinds.tolist() == list(KINDS)
    assert episodes.noise[2] == 0
    assert set(episodes.noise[[0, 1, 3]]) <= {np.float32(x) for x in mixture.NOISE}
    assert np.abs(episodes.actions).max() == 1
    assert ((episodes.rewards >= 0) & (episodes.rewards <= 10)).all()
    # The goal is seen, and stands elsewhere in each episode.
    goals = episodes.observations[:, :, 36:39]
    assert (goals == goals[:, :1]).all()
    assert len(np.unique(goals[:, 0], axis=0)) == 4


def test_the_first_of_many_are_the_same_as_few(episodes):
    few = generate_episodes("window-open", 2, 12, seed=3)
    assert same(few, episodes.select(np.arange(2)))
    other = generate_episodes("window-open", 1, 12, seed=4)
    assert not np.array_equal(other.observations, few.observations[:1])


def test_what_is_stored_is_what_happened(episodes):
    # Executing the stored actions again brings the stored observations, also where an expert looked elsewhere.
    world = mixture.World("window-open")
    for row in range(4):
        observation = world.reset(episodes.instances[row])
        for step in range(12):
            assert np.array_equal(episodes.observations[row, step], observation.astype(np.float32))
            observation, reward, success = world.step(episodes.actions[row, step])
            assert episodes.rewards[row, step] == np.float32(reward)
            assert episodes.success[row, step] == success


def test_only_the_expert_sees_what_it_acts_on(monkeypatch):
    """Without noise, its actions are the answers to what happens here; those of its like elsewhere are not."""
    monkeypatch.setattr(mixture, "NOISE", (0.0,))
    found = generate_episodes("reach", 2, 15, seed=0)
    world = mixture.World("reach")
    for row, same_world in enumerate((True, False)):
        expert, observation, answers = world.expert(), world.reset(found.instances[row]), []
        for action in found.actions[row]:
            answers.append(np.clip(expert(observation), -1, 1))
            observation = world.step(action)[0]
        assert np.allclose(found.actions[row], answers, atol=1e-6) == same_world


def test_the_cache_is_asked_first(episodes, tmp_path, monkeypatch):
    made = generate_episodes("window-open", 2, 12, seed=3, cache=tmp_path / "new")
    monkeypatch.setattr(mixture, "World", None)  # any simulation would fail
    assert same(generate_episodes("window-open", 2, 12, seed=3, cache=tmp_path / "new"), made)
    (file,) = (tmp_path / "new").iterdir()
    assert "metaworld3" in file.name
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(SegmentError, match="damaged"):
        generate_episodes("window-open", 2, 12, seed=3, cache=tmp_path / "new")


def test_other_requests_are_refused(monkeypatch):
    with pytest.raises(PrefalignError, match="did you mean 'window-open'"):
        generate_episodes("window-opens", 2)
    with pytest.raises(SegmentError, match="1 to 500 steps, got 2 of 501"):
        generate_episodes("window-open", 2, 501)
    with pytest.raises(SegmentError, match="got 0 of 150"):
        generate_episodes("window-open", 0)
    monkeypatch.setitem(__import__("sys").modules, "metaworld.policies", None)
    with pytest.raises(SimulatorError, match=r'pip install "prefalign-robotics\[simulator\]"'):
        generate_episodes("window-open", 2)


def test_a_long_name_is_the_same_task():
    # As the only row, whose other task may have a shorter name.
    found = generate_episodes("button-press-topdown-wall", 1, 3)
    assert found.task == "button-press-topdown-wall"


@pytest.mark.slow
def test_experts_succeed_and_the_others_mostly_do_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = generate_episodes("window-open", 40, 150, seed=0)
    rate = {kind: found.succeeded[found.kinds == kind].mean() for kind in KINDS}
    assert rate["expert"] == 1
    assert 0 < rate["other_goal"] < 0.8
    assert rate["random"] == 0
    assert rate["other_task"] <= 0.2
