"""The benchmark of aligned rewards runs its whole protocol, on episodes that need no simulator."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.plugins.robotics.rewards.alignment.conftest import distracted, record, trajectory

from prefalign.interfaces import Ranking
from prefalign_robotics.simulator.episodes import Episodes

FOLDER = Path(__file__).resolve().parents[5] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module("aligned_rewards")
    for name in ("aligned_rewards", "turns"):
        sys.modules.pop(name, None)


def simulated(task, count, steps, seed, cache=None):
    """Turning, rewarded for how far, in place of Meta-World."""
    observations, quality = distracted(count, seed, steps, distractors=2)
    rewards = quality[:, None].repeat(steps, 1).astype(np.float32)
    zeros = np.zeros(count, np.float32)
    actions = np.zeros((count, steps, 1), np.float32)
    kinds = np.array(["expert"] * count)
    return Episodes(observations, actions, rewards, rewards > 2, kinds, zeros, zeros.astype(np.int64), task)


def test_every_method_is_judged_in_every_setting(benchmark, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(benchmark, "generate_episodes", simulated)
    monkeypatch.setattr(benchmark, "machine", lambda *names: {})
    for name, number in (("TRIPLETS", (10, 40)), ("STEPS", 40), ("UPDATES", 3)):
        monkeypatch.setattr(benchmark, name, number)
    benchmark.main(["--seeds", "0", "1", "--json", str(tmp_path / "out.json")])
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert len(results) == 2
    for one in results:
        assert len(one) == 6
        for setting, methods in one.items():
            assert list(methods["OTR"]) == ["0"]
            counts = ["10", "40"] if setting in benchmark.TASKS else ["40"]
            assert all(list(row) == counts for method, row in methods.items() if method != "OTR")
    assert "±" in capsys.readouterr().out


def test_figures_are_those_of_learned_rewards(benchmark, monkeypatch):
    """An easy task, in which a learned reward of steps and an aligned space do what raw distances cannot."""
    monkeypatch.setattr(benchmark, "UPDATES", 60)
    episodes = simulated("turn", benchmark.EPISODES, 8, 0)
    found = benchmark.judge(episodes, episodes, 0, (60,))
    assert found["RLHF, all three pairs of a triplet"]["60"] > 0.8
    assert found["RAPL, epsilon 0.2"]["60"] > found["OTR"]["0"] + 0.2


def test_thinned_episodes_keep_their_returns(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "generate_episodes", simulated)
    options = type("Options", (), {"cache": None})
    whole = simulated("turn", benchmark.EPISODES, benchmark.STEPS, 0)
    found = benchmark.prepared("turn", 0, True, options)
    assert found.observations.shape == (100, 30, 8)
    np.testing.assert_array_equal(found.observations[:, 1:, :4], whole.observations[:, 5::5])
    np.testing.assert_allclose(found.returns, whole.returns, rtol=1e-5)


def test_a_triplet_gives_back_its_whole_ranking(benchmark):
    a, b, c = (trajectory([n, 0]) for n in range(3))
    found = benchmark.whole_ranking(record(a, b, c, verdict=Ranking((2, 1))))
    assert found.responses == (a, b, c)
    assert found.verdict == Ranking((0, 2, 1))
