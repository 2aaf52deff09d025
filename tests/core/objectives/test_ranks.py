"""State and statistics over the ranks of a distributed run."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from prefalign.objectives.ranks import mean_over_ranks, sum_over_ranks
from prefalign.objectives.repo import REPO
from prefalign.objectives.unary import BCO, KTO


def test_one_process_sums_what_it_has():
    values = torch.tensor([1.0, 4.0], requires_grad=True)
    mean, count = mean_over_ranks(values)
    assert (mean.item(), count.item()) == (2.5, 2.0)
    assert not mean.requires_grad
    assert mean_over_ranks(torch.zeros(0))[0].item() == 0.0
    total = sum_over_ranks(values)
    total += 1  # must not reach the caller's tensor
    assert values.tolist() == [1.0, 4.0]


@pytest.fixture
def other_rank(monkeypatch):
    """Pretends that a second rank contributes fixed tensors, in the order of the calls."""
    contributions: list[list[float]] = []

    def all_reduce(tensor: torch.Tensor) -> None:
        tensor += torch.tensor(contributions.pop(0), dtype=tensor.dtype).reshape(tensor.shape)

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    return contributions


def test_kto_baseline_counts_the_rows_of_all_ranks(other_rank, scores, relations):
    """Here one mismatched row at reward 0.1 · 3; there three that sum to 0.5: z = 0.8/4 = 0.2, kl = 2 nats."""
    other_rank.append([0.5, 3.0])
    rows = relations(0, extra=[1.0], mismatched=1)
    output = KTO(beta=0.1)(scores([-1.0, -1.0]), scores([-1.0, -4.0]), rows)
    assert output.metrics["kl"].item() == pytest.approx(2.0)


def test_bco_mean_counts_the_rows_of_all_ranks(other_rank, scores, relations):
    """Here one reward 0.3; there three that sum to 0.1: δ = 0.1."""
    other_rank.append([0.1, 3.0])
    objective = BCO(beta=0.1)
    objective(scores([-1.0]), scores([-4.0]), relations(0, extra=[1.0]))
    assert objective.mean.item() == pytest.approx(0.1)
    assert objective.count.item() == 4


def test_repo_reliabilities_count_the_pairs_of_all_ranks(other_rank, scores, relations):
    """Here no pair of bob's and one of ann's at w = 0.9 (zero margin); there one of bob's with w = 0.1."""
    other_rank.append([0.0, 0.1, 0.0, 1.0])
    objective = REPO(beta=1.0, rate=0.5, annotators=["ann", "bob"])
    objective(scores([0.0, 0.0]), scores([0.0, 0.0]), relations(1, annotators=["ann"]))
    assert objective.reliability.tolist() == pytest.approx([0.9, 0.5 * 0.9 + 0.5 * 0.1])
