"""Length: LD-DPO's factors and scores per unit."""

from __future__ import annotations

import torch

from prefalign.functional.length import per_unit, shorten


def test_tokens_are_counted_from_the_first_response_token_wherever_it_stands():
    """Row 0 has a prompt of two and three tokens, of which two are shared; row 1 starts at once and has four."""
    mask = torch.tensor([[0, 0, 1, 1, 1, 0], [1, 1, 1, 1, 0, 0]], dtype=torch.bool)
    weights = torch.tensor([[0.0, 0.0, 1.0, 5.0, 2.0, 0.0], [1.0, 1.0, 1.0, -4.0, 0.0, 0.0]], dtype=torch.float64)
    found = shorten(weights, mask, torch.tensor([2, 3]), 0.3)
    assert found.tolist() == [[0.0, 0.0, 1.0, 5.0, 0.6, 0.0], [1.0, 1.0, 1.0, -1.2, 0.0, 0.0]]


def test_per_unit_leaves_empty_responses_alone():
    assert per_unit(torch.tensor([-6.0, -2.0]), torch.tensor([3.0, 0.0])).tolist() == [-2.0, -2.0]
