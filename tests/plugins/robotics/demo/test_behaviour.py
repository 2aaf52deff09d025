"""Who is imitated, and what is kept of it."""

import numpy as np
import pytest
from tests.plugins.robotics.demo.conftest import PLAN, reaching_episodes

from prefalign.interfaces import PrefalignError
from prefalign_robotics.demo import behaviour
from prefalign_robotics.demo.behaviour import ARMS, Judged, achieved, behave, chosen


@pytest.fixture
def judged():
    episodes = reaching_episodes("carry-left", 24)
    generator = np.random.default_rng(5)
    scores = {name: generator.random(24) for name in ("learned", "rule", "random")}
    steps = {"learned": generator.random((24, episodes.steps)).astype(np.float32), "return": episodes.rewards}
    return Judged(episodes, {**scores, "return": episodes.returns}, steps)


def test_every_arm_chooses_by_what_its_title_says(judged):
    found = {name: chosen(name, judged) for name in ARMS}
    everything, inside = np.arange(24), np.flatnonzero(judged.episodes.succeeded)
    assert 4 <= len(inside) < 24
    for name in ("all", "iql_learned", "iql_true"):
        assert np.array_equal(found[name].instances, everything)
    for name, by, pool in (
        ("random", "random", everything),
        ("scored", "learned", everything),
        ("true_return", "return", everything),
        ("success_random", "random", inside),
        ("success_scored", "learned", inside),
        ("success_rule", "rule", inside),
        ("success_true", "return", inside),
    ):
        best = sorted(pool, key=lambda row: -judged.scores[by][row])[: max(1, round(len(pool) / 4))]
        assert found[name].instances.tolist() == best, name


def test_too_few_successes_leave_an_arm_out(judged, tmp_path):
    judged.episodes.success[:] = False
    judged.episodes.success[:3, -1] = True
    said = []
    assert behave("success_scored", judged, tmp_path, 0, PLAN, said.append) is None
    assert "fewer than 4 episodes succeeded" in said[0]
    assert not list(tmp_path.iterdir())


class Taught:
    """Stands for a trained policy."""

    def act(self, observations):
        raise AssertionError("rollouts are replaced here")


@pytest.fixture
def lessons(monkeypatch):
    """Replaces training and simulator; the list holds what was learned from, and how."""
    found = []

    def clone(some, steps, *, seed):
        found.append(("clone", some, steps, seed))
        return Taught()

    def learn_iql(some, rewards, steps, *, seed, **settings):
        assert settings == behaviour.IQL
        found.append(("iql", rewards, steps, seed))
        return Taught()

    def roll_out(policy, task, episodes, steps, seed):
        assert (task, steps) == ("carry-left", PLAN.steps)
        return reaching_episodes(task, episodes, seed)

    for replaced in (clone, learn_iql, roll_out):
        monkeypatch.setattr(behaviour, replaced.__name__, replaced)
    return found


def test_rollouts_are_kept_until_what_they_depend_on_changes(judged, lessons, tmp_path):
    def row(name="scored", judged=judged, seed=0, plan=PLAN):
        return behave(name, judged, tmp_path, seed, plan, lambda line: None)

    first = row()
    assert row() == first
    assert len(lessons) == 1
    kind, some, steps, seed = lessons[0]
    assert (kind, len(some), steps, seed) == ("clone", 6, PLAN.cloning_steps, 0)
    assert first["learned_from"] == 6
    assert first["successful"] == some.succeeded.mean()
    assert (tmp_path / first["rollouts"]).exists()
    row(seed=1)
    row(judged=Judged(judged.episodes, {**judged.scores, "learned": -judged.scores["learned"]}, judged.steps))
    assert len(lessons) == 3
    assert len(list(tmp_path.iterdir())) == 3


def test_iql_learns_from_the_rewards_of_its_name(judged, lessons, tmp_path, monkeypatch):
    for name, rewards in (("iql_learned", judged.steps["learned"]), ("iql_true", judged.episodes.rewards)):
        behave(name, judged, tmp_path, 3, PLAN, lambda line: None)
        kind, given, steps, seed = lessons[-1]
        assert (kind, steps, seed) == ("iql", PLAN.iql_steps, 3)
        assert given is rewards
    # The same episodes by other rewards are another policy, and so are other settings.
    behave(
        "iql_learned",
        Judged(judged.episodes, judged.scores, {"learned": -judged.steps["learned"]}),
        tmp_path,
        3,
        PLAN,
        lambda line: None,
    )
    assert len(lessons) == 3
    monkeypatch.setitem(behaviour.IQL, "temperature", 1.0)
    behave("iql_true", judged, tmp_path, 3, PLAN, lambda line: None)
    assert len(lessons) == 4


def test_damaged_rollouts_are_named(judged, lessons, tmp_path):
    found = behave("all", judged, tmp_path, 0, PLAN, lambda line: None)
    (tmp_path / found["rollouts"]).write_bytes(b"half")
    with pytest.raises(PrefalignError, match=r"all-.*\.npz: damaged.*delete it"):
        behave("all", judged, tmp_path, 0, PLAN, lambda line: None)


def test_what_was_achieved():
    """Two of four succeed, at steps 3 and 8 counted from one: Wilson's interval for 2 of 4 is 0.150 to 0.850.

    z = 1.96, z² = 3.8415: centre 1/2, half width z sqrt(1/16 + z²/64) / (1 + z²/4) = 1.96 · 0.35 / 1.9604 = 0.3500.
    """
    episodes = reaching_episodes("carry-left", 4)
    episodes.success[:] = False
    episodes.success[0, 2:] = True
    episodes.success[3, 7] = True
    episodes.rewards[:] = np.array([1.0, 2.0, 3.0, 6.0], np.float32)[:, None]
    found = achieved(episodes)
    assert found["success"] == pytest.approx({"estimate": 0.5, "low": 0.15, "high": 0.85}, abs=1e-3)
    assert found["mean_return"]["estimate"] == 3.0 * episodes.steps
    assert found["mean_return"]["low"] < 300 < found["mean_return"]["high"]
    assert found["steps_to_success"] == 5.5
    episodes.success[:] = False
    assert achieved(episodes)["steps_to_success"] is None
