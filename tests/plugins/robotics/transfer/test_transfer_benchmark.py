"""The benchmark of transfer runs its whole protocol, on tasks that need no simulator."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.plugins.robotics.transfer.learned.conftest import make_episodes

from prefalign_robotics.simulator.episodes import Episodes

FOLDER = Path(__file__).resolve().parents[4] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module("preference_transfer")
    for name in ("preference_transfer", "turns"):
        sys.modules.pop(name, None)


def simulated(task, count, steps, seed, cache=None):
    """Reaching, rewarded for being near the thing and the thing near its goal, in place of Meta-World."""
    found = make_episodes(count, seed, *{"here": ((0.6, 0.0), 1.0), "there": ((-0.3, 0.5), -7.0)}[task], name=task)
    rewards = -(found.to_thing + 2 * found.to_goal).astype(np.float32)
    kinds = np.resize(["expert", "other_goal", "random", "other_task"], count)
    zeros = np.zeros(count, np.float32)
    episodes = found.episodes
    return Episodes(
        episodes.observations, episodes.actions, rewards, rewards > 0, kinds, zeros, zeros.astype(np.int64), task
    )


def run(benchmark, monkeypatch, tmp_path, *options):
    monkeypatch.setattr(benchmark, "generate_episodes", simulated)
    monkeypatch.setattr(benchmark, "PAIRS", (("here", "there"),))
    written = tmp_path / "transfer.json"
    monkeypatch.setattr(sys, "argv", ["preference_transfer.py", "--json", str(written), *options])
    benchmark.main()
    return json.loads(written.read_text())


def test_learned_features_carry_what_raw_numbers_do_not(benchmark, monkeypatch, tmp_path, capsys):
    options = ("--seeds", "0", "1", "--features", "raw", "learned", "--episodes", "40")
    report = run(benchmark, monkeypatch, tmp_path, *options)
    learned, raw = report["means"]["learned"], report["means"]["raw"]
    assert min(learned["ensemble"]["all"]) > 0.85
    assert min(learned["ensemble"]["confident"]) > 0.95
    assert max(raw["linear"]["all"]) < 0.5
    assert min(learned["in task"]["all"]) > 0.8
    # Sums of products of couplings never reach 1/2: of every pair they say that the first is better.
    assert all(abs(value - 0.5) < 0.1 for value in learned["literal"]["all"])
    assert min(learned["exact"]["all"] + learned["nearest"]["all"]) > 0.6
    printed = capsys.readouterr().out
    mean, deviation = np.mean(learned["linear"]["all"]), np.std(learned["linear"]["all"], ddof=1)
    assert f"| learned | linear | {mean:.3f} ± {deviation:.3f} |" in printed
    assert "| here → there |" in printed


def test_smoothness_is_carried_by_labels_and_not_by_progress(benchmark, monkeypatch, tmp_path):
    options = ("--seeds", "0", "--features", "learned + effort", "--preference", "smoothness", "--episodes", "40")
    methods = run(benchmark, monkeypatch, tmp_path, *options)["means"]["learned + effort"]
    assert methods["linear"]["all"][0] > max(methods["rule"]["all"][0], 0.85)


def test_episodes_can_be_kept_from_learning(benchmark, monkeypatch, tmp_path):
    seen = []
    kept = benchmark.learn_features
    monkeypatch.setattr(benchmark, "learn_features", lambda whole, by: seen.append(len(whole)) or kept(whole, by))
    options = ("--seeds", "0", "--features", "learned", "--episodes", "40")
    run(benchmark, monkeypatch, tmp_path, *options, "--without", "random", "--learn-from", "24")
    run(benchmark, monkeypatch, tmp_path, *options, "--without", "random")
    assert seen == [24, 24, 30, 30]
