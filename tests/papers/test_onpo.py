"""ONPO: each fit minimises (h − η/2)², h the difference of log ratios, which is IPO of sums at β = 1/η."""

from __future__ import annotations

import pytest
import torch

from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Relations, Response, ResponseScores
from prefalign.objectives.dpo import DPO


@pytest.mark.parametrize("eta", [0.5, 4.0])
def test_first_fit_is_ipo(eta):
    responses = (Response(text="a"), Response(text="b"))
    pair = Relations.from_records(
        [PreferenceRecord(id="r", prompt=Prompt(text="q"), responses=responses, verdict=Pair())]
    )
    policy = ResponseScores(torch.tensor([-3.0, -7.0], dtype=torch.float64), torch.tensor([3.0, 9.0]))
    reference = ResponseScores(torch.tensor([-4.0, -6.5], dtype=torch.float64), torch.tensor([3.0, 9.0]))
    h = (-3.0 + 7.0) - (-4.0 + 6.5)
    ipo = DPO(beta=1 / eta, loss_type="ipo", length_normalise=False)
    assert ipo(policy, reference, pair).loss.item() == pytest.approx((h - eta / 2) ** 2, abs=1e-12)
