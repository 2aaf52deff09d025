"""RE-PO: the EM wrapper around pairwise losses."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.interfaces import PrefalignError
from prefalign.objectives.dpo import DPO
from prefalign.objectives.repo import REPO

DELTA = (1.0, -1.5, 1.75, 4.0)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_at_full_reliability_it_is_dpo(golden):
    torch.testing.assert_close(REPO(beta=0.1, reliability=1.0)(*golden).loss, DPO(beta=0.1)(*golden).loss)


def test_the_loss_by_hand(golden):
    """η = 0.9: w = 0.9p/(0.9p + 0.1(1 − p)), p = σ(0.1Δ); −w log p − (1 − w) log(1 − p)."""
    output = REPO(beta=0.1)(*golden)
    expected = []
    for delta in DELTA:
        p = sigmoid(0.1 * delta)
        w = 0.9 * p / (0.9 * p + 0.1 * (1 - p))
        expected.append(-w * math.log(p) - (1 - w) * math.log(1 - p))
    assert output.per_sample.tolist() == pytest.approx(expected, abs=1e-7)


def test_the_posterior_is_a_constant(scores, relations):
    """With w held, d/dx = σ(x) − w; differentiating w as well would give another slope."""
    rows = torch.tensor([2.0, 0.0], dtype=torch.float64, requires_grad=True)
    loss = REPO(beta=1.0).eval()(scores(rows), scores([0.0, 0.0]), relations(1)).loss
    (slope,) = torch.autograd.grad(loss, rows)
    p = sigmoid(2.0)
    w = 0.9 * p / (0.9 * p + 0.1 * (1 - p))
    assert slope.tolist() == pytest.approx([p - w, w - p], abs=1e-6)


def test_reliabilities_follow_their_annotators(scores, relations):
    """Pairs of ann, bob, ann; cid has none and keeps 0.8. At x = 0 the posterior is η, so a zero margin moves nothing.

    ann: x = 2 and x = −2 with p = σ(±2); bob: x = 0. η_ann ← 0.75 · 0.8 + 0.25 · mean w.
    """
    objective = REPO(beta=1.0, reliability=0.8, rate=0.25, annotators=["ann", "bob", "cid"])
    rows = relations(3, annotators=["ann", "bob", "ann"])
    objective(scores([2.0, 0.0, -2.0, 0.0, 0.0, 0.0]), scores([0.0] * 6), rows)
    posterior = [0.8 * p / (0.8 * p + 0.2 * (1 - p)) for p in (sigmoid(2.0), sigmoid(-2.0))]
    expected = [0.75 * 0.8 + 0.25 * sum(posterior) / 2, 0.8, 0.8]
    assert objective.reliability.tolist() == pytest.approx(expected, abs=1e-6)
    before = objective.reliability.clone()
    objective.eval()(scores([2.0, 0.0, -2.0, 0.0, 0.0, 0.0]), scores([0.0] * 6), rows)
    assert torch.equal(objective.reliability, before)


def test_an_annotator_who_contradicts_the_rest_is_found_out():
    """Ten pairs of ann agree with the policy by 3 nats, ten of eve deny it; both start at 0.9."""
    from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Relations, Response, ResponseScores

    records = []
    for name, pair in [("ann", Pair(0, 1)), ("eve", Pair(1, 0))]:
        for i in range(10):
            responses = (Response(text="good"), Response(text="bad"))
            records.append(
                PreferenceRecord(
                    id=f"{name}{i}", prompt=Prompt(text="q"), responses=responses, verdict=pair, annotator=name
                )
            )
    policy = ResponseScores(torch.tensor([3.0, 0.0] * 20), torch.ones(40))
    reference = ResponseScores(torch.zeros(40), torch.ones(40))
    objective = REPO(beta=1.0, annotators=["ann", "eve"])
    for _ in range(40):
        objective(policy, reference, Relations.from_records(records))
    ann, eve = objective.reliability.tolist()
    assert ann > 0.95
    assert eve < 0.5


def test_reliabilities_are_saved_and_stay_exact_in_half_precision(golden):
    objective = REPO(beta=0.1)
    objective(*golden)
    again = REPO(beta=0.1).to(torch.bfloat16)
    again.load_state_dict(objective.state_dict())
    assert torch.equal(again.reliability, objective.reliability)


def test_refusals(golden, relations):
    policy, reference, _ = golden
    for options, message in [
        ({"reliability": 0.5}, "above 1/2"),
        ({"rate": 1.5}, "rate"),
        ({"annotators": []}, "at least one"),
        ({"annotators": ["a", "a"]}, "once"),
        ({"loss_type": "aot"}, "each pair"),
    ]:
        with pytest.raises(PrefalignError, match=message):
            REPO(**options)
    with pytest.raises(PrefalignError, match="soft labels"):
        REPO()(policy, reference, relations(4, probability=torch.full((4,), 0.9)))
    with pytest.raises(PrefalignError, match=r"record 'r0'.*did you mean 'anna'"):
        REPO(annotators=["anna"])(policy, reference, relations(4, annotators=["ana"] * 4))
