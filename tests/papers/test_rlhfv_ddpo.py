"""RLHF-V (arXiv 2312.00849): dense DPO over corrected segments, in the paper's and in the released form.

Eq. 5 averages: log π = (Σ_kept logp + γ Σ_corrected logp) / (n_kept + γ n_corrected), γ = 5, β = 0.5. The released
recipe leaves out the division: γ = 1.1, β = 0.1. Segments reach the objective as token weights.
"""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.interfaces import Relations, ResponseScores
from prefalign.objectives.dpo import DPO

#: Tokens of the corrected and of the original answer; the second of each is the corrected segment.
POLICY = ([-1.0, -0.5, -2.0], [-1.0, -3.0])
REFERENCE = ([-1.0, -1.5, -1.5], [-1.0, -2.0])


def scores(rows, gamma: float) -> ResponseScores:
    logps = torch.zeros(2, 3, dtype=torch.float64)
    mask = torch.zeros(2, 3, dtype=torch.bool)
    for i, row in enumerate(rows):
        logps[i, : len(row)] = torch.tensor(row, dtype=torch.float64)
        mask[i, : len(row)] = True
    weights = mask * torch.tensor([1.0, gamma, 1.0], dtype=torch.float64)
    return ResponseScores((logps * weights).sum(-1), mask.sum(-1).double(), "nats", logps, mask, weights)


@pytest.fixture
def pair() -> Relations:
    from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Response

    responses = (Response(text="a cat sits"), Response(text="a dog"))
    record = PreferenceRecord(id="r", prompt=Prompt(text="What sits?"), responses=responses, verdict=Pair())
    return Relations.from_records([record])


def test_the_papers_form(pair):
    """γ = 5, β = 0.5: chosen (−1 − 5·0.5 − 2)/7 = −5.5/7, reference (−1 − 7.5 − 1.5)/7 = −10/7; rejected −16/6, −11/6.

    Δ = 4.5/7 + 5/6 = 62/42; loss −log σ(31/42).
    """
    output = DPO(beta=0.5, average=True)(scores(POLICY, 5.0), scores(REFERENCE, 5.0), pair)
    assert output.margins.item() == pytest.approx(31 / 42, abs=1e-12)
    assert output.loss.item() == pytest.approx(math.log1p(math.exp(-31 / 42)), abs=1e-12)


def test_the_released_form(pair):
    """γ = 1.1, β = 0.1, no division: Δ = (1.1 · 1 − 0.5) − (−1.1 · 1) = 1.7; loss −log σ(0.17)."""
    output = DPO(beta=0.1)(scores(POLICY, 1.1), scores(REFERENCE, 1.1), pair)
    assert output.loss.item() == pytest.approx(math.log1p(math.exp(-0.17)), abs=1e-12)


def test_gamma_one_is_dpo_summed_or_per_token(pair):
    policy, reference = scores(POLICY, 1.0), scores(REFERENCE, 1.0)
    plain = [ResponseScores(s.logps, s.lengths) for s in (policy, reference)]
    weighted = DPO(beta=0.1)(policy, reference, pair).loss
    torch.testing.assert_close(weighted, DPO(beta=0.1)(*plain, pair).loss, atol=1e-15, rtol=0)
    averaged = DPO(beta=0.1, average=True)(policy, reference, pair).loss
    per_token = DPO(beta=0.1, length_normalise=True)(*plain, pair).loss
    torch.testing.assert_close(averaged, per_token, atol=1e-15, rtol=0)


def test_the_gradient_of_a_corrected_token_is_gamma_times_that_of_a_kept_one(pair):
    policy = scores(POLICY, 5.0)
    policy.token_logps.requires_grad_()
    loss = DPO(beta=0.5, average=True)(policy, scores(REFERENCE, 5.0), pair).loss
    (slope,) = torch.autograd.grad(loss, policy.token_logps)
    assert slope[0, 1] < 0 < slope[1, 1]
    torch.testing.assert_close(slope[:, 1], 5 * slope[:, 0])
    assert slope[1, 2] == 0
