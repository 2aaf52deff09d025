"""The released code's loss."""

import math

import pytest
import torch

from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Relations, Response, RewardOutput
from prefalign_robotics.rewards.alignment.objective import ChosenProbability


def loss_of(verdict, *rewards):
    rewards = torch.tensor(rewards, dtype=torch.float64).unsqueeze(-1).requires_grad_()
    responses = (Response(text="a"), Response(text="b"))
    relations = Relations.from_records(
        [PreferenceRecord(id="r", prompt=Prompt(), responses=responses, verdict=verdict)]
    )
    out = ChosenProbability()(RewardOutput(rewards, torch.tensor([True, True])), relations)
    return out.loss, torch.autograd.grad(out.loss, rewards)[0][:, 0].tolist()


def test_the_probability_of_being_wrong_by_hand():
    """R = log 3 and 0: P = 3/4, so the loss is 1/4, and its slope −P (1 − P) = −3/16."""
    loss, slope = loss_of(Pair(0, 1), math.log(3), 0.0)
    assert loss.item() == pytest.approx(1 / 4)
    assert slope == pytest.approx([-3 / 16, 3 / 16])


def test_a_tie_pushes_towards_a_half():
    """(1/2 − 3/4)² = 1/16, with the slope 2 (P − 1/2) P (1 − P) = 3/32; the expected loss would have none."""
    for verdict in (Pair(0, 1, probability=0.5, tie=True), Pair(0, 1, probability=0.5)):
        loss, slope = loss_of(verdict, math.log(3), 0.0)
        assert loss.item() == pytest.approx(1 / 16)
        assert slope == pytest.approx([3 / 32, -3 / 32])


def test_a_judgement_that_may_be_wrong():
    """0.8 · 1/4 + 0.2 · 3/4 = 0.35."""
    assert loss_of(Pair(0, 1, probability=0.8), math.log(3), 0.0)[0].item() == pytest.approx(0.35)
