"""DPO of rankings."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.interfaces import (
    CapabilityError,
    Pair,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    Ranking,
    Relations,
    Response,
)
from prefalign.objectives.dpo import DPO
from prefalign.objectives.listwise import PlackettLuce


def record(name, verdict, count, weight=1.0, margin=None):
    responses = tuple(Response(text=f"{name}{i}") for i in range(count))
    return PreferenceRecord(
        id=name, prompt=Prompt(text="q"), responses=responses, verdict=verdict, weight=weight, margin=margin
    )


def test_lists_and_plain_pairs_are_averaged_with_their_weights(scores):
    """Ranking with exp rewards 4, 1, 2 at ranks 0, 2, 1: log(21/8), weight 2. Pair: p = ¾, Δ = log 3, β = 1."""
    records = [
        record("list", Ranking((0, 2, 1)), 3, weight=2.0),
        record("pair", Pair(chosen=0, rejected=1, probability=0.75), 2),
    ]
    policy = scores(torch.tensor([4.0, 1.0, 2.0, 3.0, 1.0], dtype=torch.float64).log())
    output = PlackettLuce(beta=1.0)(policy, scores([0.0] * 5), Relations.from_records(records))
    pair = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert output.per_sample.tolist() == pytest.approx([2 * math.log(21 / 8), pair], abs=1e-7)
    assert output.loss.item() == pytest.approx((2 * math.log(21 / 8) + pair) / 2, abs=1e-7)
    assert output.metrics["rewards/accuracies"].item() == 1.0


def test_a_ranking_of_two_is_dpo(scores):
    relations = Relations.from_records([record("a", Ranking((1, 0)), 2), record("b", Ranking((0, 1)), 2)])
    policy, reference = scores([-1.0, -2.0, -3.0, -4.5]), scores([-1.5, -1.0, -3.5, -4.0])
    torch.testing.assert_close(
        PlackettLuce(beta=0.3)(policy, reference, relations).loss, DPO(beta=0.3)(policy, reference, relations).loss
    )


def test_gradients_are_exact(scores):
    relations = Relations.from_records([record("a", Ranking((1, 0, 1, 2)), 4), record("b", Pair(), 2)])
    reference = scores([0.0] * 6)
    policy = torch.tensor([-1.0, -0.3, -2.0, -0.7, -1.1, -0.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: PlackettLuce(beta=0.3)(scores(p), reference, relations).loss, policy)


def test_nothing_to_rank_costs_nothing(scores, relations):
    policy = scores(torch.tensor([-1.0], requires_grad=True))
    output = PlackettLuce()(policy, scores([-1.0]), relations(0, extra=[1.0]))
    output.loss.backward()
    assert output.loss.item() == 0.0
    assert policy.logps.grad.tolist() == [0.0]


def test_what_cannot_be_honoured_is_refused(scores, relations):
    with pytest.raises(PrefalignError, match="margins"):
        PlackettLuce()(scores([0.0, 0.0]), scores([0.0, 0.0]), relations(1, margin=torch.ones(1)))
    with pytest.raises(CapabilityError, match="reference"):
        PlackettLuce()(scores([0.0, 0.0]), None, relations(1))
    with pytest.raises(PrefalignError, match="beta > 0"):
        PlackettLuce(beta=0.0)
