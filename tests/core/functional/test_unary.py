"""Losses of single responses."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.functional.unary import classifier, prospect


def test_prospect_by_hand():
    """Desirable r = 1, z = 0.25: 1 − σ(0.75); undesirable r = 1: 1 − σ(−0.75) = σ(0.75)."""
    loss = prospect(torch.tensor([1.0, 1.0], dtype=torch.float64), torch.tensor([True, False]), 0.25)
    sigma = 1 / (1 + math.exp(-0.75))
    assert loss.tolist() == pytest.approx([1 - sigma, sigma], abs=1e-12)


def test_classifier_is_log_two_at_its_shift():
    loss = classifier(torch.tensor([0.7, 0.7]), torch.tensor([True, False]), torch.tensor(0.7))
    assert loss.tolist() == pytest.approx([math.log(2)] * 2)


@pytest.mark.parametrize("loss", [prospect, classifier])
def test_gradients_signs_and_extremes(loss):
    """Desirable rewards are pushed up, undesirable ones down."""
    desirable = torch.tensor([True, False, True, False])
    rewards = torch.tensor([0.4, 0.4, -2.0, -2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r: loss(r, desirable, 0.1), rewards)
    (slope,) = torch.autograd.grad(loss(rewards, desirable, 0.1).sum(), rewards)
    assert (slope[desirable] < 0).all()
    assert (slope[~desirable] > 0).all()
    far = torch.tensor([1e4, 1e4, -1e4, -1e4], requires_grad=True)
    value = loss(far, desirable)
    (slope,) = torch.autograd.grad(value.sum(), far)
    assert value.isfinite().all()
    assert slope.isfinite().all()
