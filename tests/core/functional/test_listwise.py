"""Plackett–Luce."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.functional.links import logistic
from prefalign.functional.listwise import plackett_luce

QUICK = settings(deadline=None, max_examples=50, derandomize=True)


def one_list(scores, ranks):
    return plackett_luce(scores, torch.tensor(ranks), torch.zeros(len(ranks), dtype=torch.long)).sum()


def test_three_items_by_hand():
    """exp scores 4, 2, 1 in the order 1, 2, 3: P = 4/7 · 2/3 · 1, loss = log(21/8)."""
    scores = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64).log()
    assert one_list(scores, [0, 1, 2]).item() == pytest.approx(math.log(21 / 8), abs=1e-12)


def test_probabilities_of_all_orders_sum_to_one():
    scores = torch.tensor([0.3, -1.0, 2.0, 0.1], dtype=torch.float64)
    total = sum(math.exp(-one_list(scores, list(order)).item()) for order in itertools.permutations(range(4)))
    assert total == pytest.approx(1.0, abs=1e-12)


@given(st.floats(-30, 30), st.floats(-30, 30))
@QUICK
def test_two_items_are_bradley_terry(first, second):
    scores = torch.tensor([first, second], dtype=torch.float64)
    assert one_list(scores, [0, 1]).item() == pytest.approx(logistic(scores[0] - scores[1]).item(), abs=1e-12)


@given(st.permutations(range(5)), st.floats(-100, 100))
@QUICK
def test_order_of_rows_and_a_common_shift_change_nothing(order, shift):
    scores = torch.tensor([0.5, -0.3, 1.2, 0.0, 2.0], dtype=torch.float64)
    ranks, lists = torch.tensor([0, 1, 1, 0, 1]), torch.tensor([0, 0, 0, 1, 1])
    index = torch.tensor(order)
    shuffled = plackett_luce(scores[index] + shift, ranks[index], lists[index])
    torch.testing.assert_close(shuffled, plackett_luce(scores, ranks, lists)[index], atol=1e-9, rtol=0)


def test_a_tie_is_likeliest_at_equal_scores():
    scores = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(one_list(scores, [0, 0]), scores)
    assert slope.tolist() == [0.0, 0.0]
    uneven = torch.tensor([0.5, -0.5], dtype=torch.float64)
    assert one_list(uneven, [0, 0]) > one_list(scores, [0, 0])


def test_gradients_extremes_and_nothing():
    scores = torch.tensor([0.5, -0.3, 1.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: one_list(s, [1, 0, 2]), scores)
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = one_list(far, [0, 1])
    assert loss.item() == pytest.approx(2e4)
    (slope,) = torch.autograd.grad(loss, far)
    assert slope.tolist() == [-1.0, 1.0]
    assert plackett_luce(torch.zeros(0), torch.zeros(0), torch.zeros(0)).shape == (0,)
