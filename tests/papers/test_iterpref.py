"""IterPref / Target-DPO: only the differing tokens of the rejected response count, the chosen one counts whole.

−log σ(β[Σ_t s_t(y_w) − Σ_{t ∈ D⁻} s_t(y_l)]); the mask reaches the objective as token weights 0 and 1.
"""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Relations, Response, ResponseScores
from prefalign.objectives.dpo import DPO


def scores(tokens: list[list[float]], weights: list[list[float]]) -> ResponseScores:
    logps, weight = torch.tensor(tokens, dtype=torch.float64), torch.tensor(weights, dtype=torch.float64)
    mask = torch.ones_like(logps, dtype=torch.bool)
    return ResponseScores((logps * weight).sum(-1), mask.sum(-1).double(), "nats", logps, mask, weight)


@pytest.fixture
def pair() -> Relations:
    responses = (Response(text="x = 1"), Response(text="x = 2"))
    return Relations.from_records(
        [PreferenceRecord(id="r", prompt=Prompt(text="q"), responses=responses, verdict=Pair())]
    )


def test_masked_rejected_tokens_and_the_chosen_likelihood(pair):
    """s(y_w) = 0.5 + 0.25, s(y_l) = −1 from the second token; β 0.1, α 1 on the token-mean NLL (0.5 + 0.75)/2."""
    weights = [[1.0, 1.0], [0.0, 1.0]]
    policy, reference = scores([[-0.5, -0.75], [-9.0, -2.0]], weights), scores([[-1.0, -1.0], [-1.0, -1.0]], weights)
    output = DPO(beta=0.1, nll_weight=1.0)(policy, reference, pair)
    assert output.loss.item() == pytest.approx(math.log1p(math.exp(-0.175)) + 0.625, abs=1e-12)


def test_a_mask_of_ones_is_dpo(pair):
    tokens, held = [[-0.5, -0.75], [-9.0, -2.0]], [[-1.0, -1.0], [-1.0, -1.0]]
    ones = [[1.0, 1.0], [1.0, 1.0]]
    policy, reference = scores(tokens, ones), scores(held, ones)
    plain = [ResponseScores(s.token_logps.sum(-1), s.lengths) for s in (policy, reference)]
    assert DPO(beta=0.1)(policy, reference, pair).loss == DPO(beta=0.1)(*plain, pair).loss
