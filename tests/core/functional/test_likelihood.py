"""Likelihood terms."""

from __future__ import annotations

import pytest
import torch

from prefalign.functional.likelihood import token_mean_nll


def test_mean_is_over_tokens_not_over_responses():
    """6 nats over 4 tokens and 1 nat over 1 token: 7/5, not (1.5 + 1)/2."""
    assert token_mean_nll(torch.tensor([-6.0, -1.0]), torch.tensor([4.0, 1.0])).mean().item() == pytest.approx(1.4)
