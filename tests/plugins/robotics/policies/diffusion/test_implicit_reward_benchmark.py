"""The benchmark of implicit rewards compares what it says, on the same goal instances."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).resolve().parents[5] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module("implicit_reward")
    sys.modules.pop("implicit_reward", None)


def test_spread_is_over_seeds(benchmark):
    def seed(success, earned):
        return {"base": {"success": {"estimate": success}, "return": {"estimate": earned}}}

    found = benchmark.over_seeds([seed(0.5, 10.0), seed(0.7, 30.0)])["base"]
    assert found["success"] == pytest.approx((0.6, 0.1 * np.sqrt(2)))
    assert found["return"] == pytest.approx((20, 10 * np.sqrt(2)))
    assert benchmark.over_seeds([seed(0.5, 10.0)])["base"]["return"] == (10, 0)


def test_the_control_chooses_by_chance(benchmark):
    best = torch.cat([benchmark.random_judge(0)(np.zeros((50, 5)), torch.zeros(50, 8, 4, 3)).argmax(1)])
    assert set(best.tolist()) == set(range(8))


@pytest.mark.slow
def test_every_arm_is_run(benchmark, tmp_path):
    pytest.importorskip("metaworld")
    sizes = ["--demonstrations", "2", "--imitation-steps", "3", "--episodes", "1", "--length", "12"]
    written = tmp_path / "figures.json"
    call = [*sizes, "--steps", "2", "--rollouts", "2", "--out", str(tmp_path / "runs"), "--json", str(written)]
    assert benchmark.main(call) == 0
    found = json.loads(written.read_text())
    arms = {f"{kind}/{link}" for kind in ("tuned", "selected") for link in benchmark.LINKS}
    assert found["summary"].keys() == found["seeds"]["0"].keys() == {"base", "random_of_8", *arms}
    assert found["summary"]["base"]["return"][0] > 0
