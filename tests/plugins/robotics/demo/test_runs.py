"""Results of a pair and seed grow with later calls, and are gathered over a folder."""

import json

import numpy as np
import pytest
from tests.plugins.robotics.demo.conftest import PLAN, reaching_episodes

from prefalign.interfaces import PrefalignError
from prefalign_robotics.demo import behaviour, runs
from prefalign_robotics.demo.runs import SCHEMA, results, run
from prefalign_robotics.rewards.mlp import MarkovReward


@pytest.fixture
def worked(simulated, monkeypatch):
    """Replaces all training; the list holds what was trained."""
    found = []

    def learn(pairs, folder, seed, steps):
        assert pairs.exists()
        reward = MarkovReward(39, 4, [8], gaussian=True, init_seed=seed)
        reward.configure_model()
        return reward.eval()

    class Idle:
        act = None

    def clone(some, steps, *, seed):
        found.append(len(some))
        return Idle()

    monkeypatch.setattr(runs, "learn", learn)
    monkeypatch.setattr(behaviour, "clone", clone)
    monkeypatch.setattr(behaviour, "roll_out", lambda policy, task, count, steps, seed: reaching_episodes(task, count))
    monkeypatch.setattr(
        runs, "endure", lambda prepared, share, *rest: found.append(share) or {"robust": 0.7, "bradley_terry": 0.6}
    )
    return found


def made(root, arms, noise=(), seed=0):
    return run(root, "carry-away", "carry-left", seed, PLAN, arms, noise, lambda line: None)


def test_later_calls_add_to_the_results(tmp_path, worked):
    first = made(tmp_path, ["all"], [0.2])
    assert tuple(first) == SCHEMA
    assert worked == [40, 0.2]
    second = made(tmp_path, ["scored"])
    assert list(second["policies"]) == ["all", "scored"]
    assert second["policies"]["all"] == first["policies"]["all"]
    assert second["noise"] == {"0.2": {"robust": 0.7, "bradley_terry": 0.6}}
    assert worked.count(40) == 1  # the first arm was not trained again
    made(tmp_path, ["all"], seed=1)
    assert [one["seed"] for one in results(tmp_path)] == [0, 1]
    assert results(tmp_path)[0] == json.loads(json.dumps(second))


def test_the_figures_are_those_of_the_reward(tmp_path, worked):
    found = made(tmp_path, [])
    with np.load(tmp_path / "carry-away--carry-left" / "seed0" / "rewards.npz", allow_pickle=False) as kept:
        assert sorted(kept) == ["deviation", "mean", "rewards", "success"]
        scores, returns = kept["mean"].sum(1), kept["rewards"].sum(1)
    order, wanted = (np.argsort(np.argsort(values)) for values in (scores, returns))
    assert found["ranking"]["all"]["learned"]["spearman"] == pytest.approx(np.corrcoef(order, wanted)[0, 1], abs=1e-6)


def test_damaged_results_are_named(tmp_path, worked):
    made(tmp_path, [])
    file = tmp_path / "carry-away--carry-left" / "seed0" / "results.json"
    file.write_text('{"source": "carry-away"}')
    for call in (lambda: results(tmp_path), lambda: made(tmp_path, [])):
        with pytest.raises(PrefalignError, match=r"results\.json: absent or damaged \(it says nothing of 'target'"):
            call()
