"""Losses of both rewards of a pair."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.functional import pairwise

LOSSES = {
    "nca": pairwise.nca,
    "bco": pairwise.bco,
    "sppo_hard": lambda c, r: pairwise.sppo_hard(c, r, 0.5),
    "apo_zero": pairwise.apo_zero,
    "apo_down": pairwise.apo_down,
    "sorted_difference": pairwise.sorted_difference,
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_exact(name):
    chosen = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([-0.7, 0.4, 1.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(LOSSES[name], (chosen, rejected))


@pytest.mark.parametrize("name", LOSSES)
def test_extremes_stay_finite_in_float32(name):
    chosen = torch.tensor([-1e4, 1e4, -1e4, 1e4], requires_grad=True)
    rejected = torch.tensor([1e4, -1e4, -1e4, 1e4], requires_grad=True)
    loss = LOSSES[name](chosen, rejected)
    slopes = torch.autograd.grad(loss.sum(), (chosen, rejected))
    assert loss.isfinite().all()
    assert all(slope.isfinite().all() for slope in slopes)


def test_values_at_equal_policies():
    """σ(0) = ½ everywhere: NCA and BCO 2 log 2, both APO 1, SPPO twice the squared target."""
    zero = torch.zeros(1, dtype=torch.float64)
    values = [pairwise.nca, pairwise.bco, pairwise.apo_zero, pairwise.apo_down]
    found = [f(zero, zero).item() for f in values] + [pairwise.sppo_hard(zero, zero, 3.0).item()]
    assert found == pytest.approx([2 * math.log(2), 2 * math.log(2), 1, 1, 18], abs=1e-12)


def test_bco_shift_moves_both_rewards():
    chosen, rejected = torch.tensor([1.0, 0.2]), torch.tensor([-0.5, 0.1])
    torch.testing.assert_close(pairwise.bco(chosen, rejected, 0.3), pairwise.bco(chosen - 0.3, rejected - 0.3))


def test_sorted_difference_is_the_cheapest_coupling():
    """Sorted: (1, 2, 5) − (0, 4, 6) = (1, −2, −1); no other matching has a smaller sum of squares than 6."""
    first, second = torch.tensor([5.0, 1.0, 2.0]), torch.tensor([4.0, 6.0, 0.0])
    assert pairwise.sorted_difference(first, second).tolist() == [1.0, -2.0, -1.0]
