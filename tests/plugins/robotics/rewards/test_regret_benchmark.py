"""The benchmark of identifiability draws what it says it draws, and learns what can be learned."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from prefalign_robotics.rewards.regret import step_judgements
from prefalign_robotics.rewards.tabular import optimal_values

FOLDER = Path(__file__).resolve().parents[4] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module("regret_identifiability")
    sys.modules.pop("regret_identifiability", None)


@pytest.mark.parametrize("ends", [True, False])
def test_walks_follow_the_grid_and_end_where_they_may(benchmark, ends):
    load = benchmark.Workload(tasks=6, pairs=200, ends=ends)
    generator = torch.Generator().manual_seed(0)
    task = benchmark.grids(load, generator)
    states, actions = benchmark.walks(task, load, generator)
    assert states.shape == actions.shape == (6, 400, 3)
    ended = torch.gather(task.absorbing, 1, states.flatten(1)).reshape(states.shape)
    assert not ended[:, :, 0].any()
    led = torch.gather(task.successors.flatten(1), 1, (states * 4 + actions).flatten(1)).reshape(states.shape)
    led = torch.where(ended, states, led)
    assert torch.equal(led[:, :, :2], states[:, :, 1:])
    assert bool(torch.gather(task.absorbing, 1, led.flatten(1)).any()) == ends


def test_a_grid_by_hand(benchmark):
    """From the corner, up and left stay, down leads to cell 5 and right to cell 1; what is entered is shown."""
    task = benchmark.grids(benchmark.Workload(tasks=3), torch.Generator().manual_seed(0))
    assert task.successors[0, 0].tolist() == [0, 5, 0, 1]
    assert task.successors[2, 24].tolist() == [19, 24, 23, 24]
    assert task.absorbing.sum(1).tolist() == [1, 1, 1]
    kinds = task.features[0, 0].argmax(-1)
    assert kinds[0] == kinds[2]
    assert (task.features.sum(-1) == 1).all()


def test_judgements(benchmark):
    """Without noise ties are undecided; with it a difference of log 3 is decided rightly in three of four cases."""
    load, generator = benchmark.Workload(noisy=False), torch.Generator().manual_seed(0)
    scores = torch.tensor([[1.0, 2.0, 3.0, 0.0, 2.0, 5.0]], dtype=torch.float64)
    assert benchmark.preferred(scores, load, generator).tolist() == [[1.0, 0.5, 0.0]]
    many = torch.zeros(1, 20_000, dtype=torch.float64)
    many[0, :10_000] = torch.tensor(3.0).log()
    share = benchmark.preferred(many, replace(load, noisy=True), generator).mean().item()
    assert share == pytest.approx(0.75, abs=0.02)


def test_a_constant_is_lost_on_walks_of_one_length(benchmark):
    """Every step costs, so that the end is sought; a constant of 5 makes staying pay: all one to partial return."""
    load = benchmark.Workload(tasks=4, pairs=300, ends=False)
    generator = torch.Generator().manual_seed(0)
    task = benchmark.grids(load, generator)
    states, actions = benchmark.walks(task, load, generator)
    weights = -torch.rand(4, 6, dtype=torch.float64, generator=generator) - 0.5
    found = {}
    for shift in (0.0, 5.0):
        moved = weights + shift
        values, _ = optimal_values(task, task.rewards(moved))
        for name, worth in (("partial", None), ("regret", values)):
            scores = step_judgements(task, moved, worth, states, actions).sum(-1)
            found[name, shift] = scores - scores.mean(-1, keepdim=True)
    torch.testing.assert_close(found["partial", 0.0], found["partial", 5.0])
    assert (found["regret", 0.0] - found["regret", 5.0]).abs().amax(-1).min() > 0.5


def test_every_model_is_measured_between_random_and_optimal(benchmark):
    result = benchmark.measure(benchmark.Workload(tasks=4, side=3, pairs=100, steps=40, starts=2, policies=8))
    assert set(result) == {"regret", "regret_successor", "partial_return", "partial_return_greedy"}
    for row in result.values():
        assert len(row["scaled_returns"]) == 4
        assert max(row["scaled_returns"]) <= 1 + 1e-4
        assert row["near_optimal"] == sum(value > 0.9 for value in row["scaled_returns"]) / 4
    assert result["regret"]["median"] > 0.9
