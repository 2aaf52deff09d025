"""Reward-weighted likelihood and anchors: values by hand, gradients, reductions."""

import math

import pytest
import torch

from prefalign.interfaces import (
    CapabilityError,
    Group,
    Pair,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    Relations,
    Response,
    ResponseScores,
    Unary,
)
from prefalign.objectives.dpo import DPO
from prefalign.objectives.reward_weighted import Anchored, RewardWeighted

ERRORS = [0.2, 0.4, 0.6, 0.8]


def denoised(errors):
    errors = torch.as_tensor(errors, dtype=torch.float64)
    return ResponseScores(-errors / 2, torch.ones_like(errors), units="mse/2", errors=errors)


def rated(*verdicts, weights=None):
    """One record per verdict, its number of responses being that of the verdict's entries."""
    records = []
    for index, verdict in enumerate(verdicts):
        count = 2 if isinstance(verdict, Pair) else len(getattr(verdict, "rewards", getattr(verdict, "labels", ())))
        responses = tuple(Response(text=f"answer {i}") for i in range(count))
        weight = 1.0 if weights is None else weights[index]
        records.append(
            PreferenceRecord(
                id=f"r{index}", prompt=Prompt(text="x"), responses=responses, verdict=verdict, weight=weight
            )
        )
    return Relations.from_records(records)


def test_rewards_and_labels_weigh_the_errors():
    """(1·0.2 + 0·0.4 + 0.5·0.6 + 0.25·0.8) / 4 = 0.7 / 4."""
    relations = rated(Unary((True, False)), Group((0.5,)), Group((0.25,)))
    out = RewardWeighted()(denoised(ERRORS), None, relations)
    assert out.loss.item() == pytest.approx(0.175)
    assert out.per_sample.tolist() == pytest.approx([0.2, 0.0, 0.3, 0.2])
    assert out.metrics["weights/mean"].item() == pytest.approx(1.75 / 4)
    assert out.metrics["weights/effective_batch"].item() == pytest.approx(1.75)


def test_the_records_weight_counts_too():
    relations = rated(Group((1.0,)), Group((1.0,)), weights=[1.0, 3.0])
    assert RewardWeighted()(denoised(ERRORS[:2]), None, relations).loss.item() == pytest.approx((0.2 + 1.2) / 2)


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({"weighting": "normalised"}, [1.6, 0.8, 1.2, 0.4]),
        ({"weighting": "threshold", "above": 0.5}, [1.0, 0.0, 1.0, 0.0]),
        # softmax of (8, 4, 6, 2)/2 times 4
        ({"weighting": "exponential", "temperature": 0.1}, None),
        # mean 0.5, population sd sqrt(0.05): standardised (1.342, -0.447, 0.447, -1.342)
        ({"weighting": "advantage", "clip": 1.0}, [1.0, 0.0, 0.1 / math.sqrt(0.05), 0.0]),
    ],
)
def test_weightings_by_hand(options, weights):
    if weights is None:
        powers = [math.exp(r / 0.1) for r in (0.8, 0.4, 0.6, 0.2)]
        weights = [4 * p / sum(powers) for p in powers]
    relations = rated(*(Group((r,)) for r in (0.8, 0.4, 0.6, 0.2)))
    out = RewardWeighted(**options)(denoised(ERRORS), None, relations)
    assert out.per_sample.tolist() == pytest.approx([w * e for w, e in zip(weights, ERRORS, strict=True)], rel=1e-6)


def test_the_gradient_is_that_of_weighted_fine_tuning():
    """d loss / d parameters = (1/n) Σ r_i d ℓ_i / d parameters."""
    weight = torch.randn(3, dtype=torch.float64, requires_grad=True)
    inputs = torch.randn(4, 3, dtype=torch.float64)
    rewards = (0.75, 0.0, 0.25, 1.0)
    errors = (inputs @ weight) ** 2
    RewardWeighted()(denoised(errors), None, rated(*(Group((r,)) for r in rewards))).loss.backward()
    expected = sum(r * 2 * (x @ weight.detach()) * x for r, x in zip(rewards, inputs, strict=True)) / 4
    assert torch.allclose(weight.grad, expected, rtol=1e-12)


def test_equal_rewards_are_plain_fine_tuning():
    relations = rated(*(Group((1.0,)) for _ in ERRORS))
    for options in ({}, {"weighting": "normalised"}, {"weighting": "exponential", "temperature": 2.0}):
        assert RewardWeighted(**options)(denoised(ERRORS), None, relations).loss.item() == pytest.approx(0.5)


def test_tokens_are_weighted_per_token():
    logps = torch.tensor([[-1.0, -2.0, 0.0], [-3.0, -1.0, -2.0]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    scores = ResponseScores(logps.sum(-1), mask.sum(-1).float(), token_logps=logps, mask=mask)
    out = RewardWeighted()(scores, None, rated(Group((1.0,)), Group((0.5,))))
    assert out.loss.item() == pytest.approx((1.5 + 0.5 * 2.0) / 2)


def test_negative_rewards_and_parameters_without_effect_are_refused():
    with pytest.raises(PrefalignError, match=r"record 'r1' has the reward -0\.5"):
        RewardWeighted()(denoised(ERRORS[:2]), None, rated(Group((1.0,)), Group((-0.5,))))
    for wrong, match in (
        ({"temperature": 1.0}, "does not read temperature"),
        ({"weighting": "exponential"}, "needs temperature"),
        ({"weighting": "exponential", "temperature": 0.0}, "temperature > 0"),
        ({"weighting": "threshold"}, "needs above"),
    ):
        with pytest.raises(PrefalignError, match=match):
            RewardWeighted(**wrong)


def test_an_anchor_adds_its_mean_error_and_is_not_judged():
    """Rows 0, 1 are judged, 2 and 3 anchors: (1·0.2 + 0.5·0.4)/2 + 0.25·(0.6 + 0.8)/2; ratio 0.25/0.75."""
    judged = rated(Group((1.0,)), Group((0.5,)), Group((1.0,)), Unary((True,)))
    relations = judged.anchored([False, False, True, True])
    out = Anchored(RewardWeighted(), 0.25)(denoised(ERRORS), None, relations)
    assert out.loss.item() == pytest.approx(0.2 + 0.175)
    assert out.metrics["anchor/loss"].item() == pytest.approx(0.7)
    assert out.metrics["anchor/effective_weight"].item() == pytest.approx(1 / 3)
    assert relations.anchors.tolist() == [2, 3]
    assert relations.label[2:].isnan().all()
    assert relations.reward[2:].isnan().all()


def test_anchored_pairs_lose_no_pair_and_gain_none():
    relations = rated(Pair(0, 1), Group((1.0,)), Pair(1, 0)).anchored([False, True, False])
    assert (relations.chosen.tolist(), relations.rejected.tolist()) == ([0, 4], [1, 3])
    scores = denoised([0.1, 0.2, 0.5, 0.3, 0.4])
    bare = DPO()(scores, scores, relations)
    held = Anchored(DPO(), 2.0)(scores, scores, relations)
    assert held.loss.item() - bare.loss.item() == pytest.approx(2 * 0.5)


def test_evaluation_goes_without_anchors_and_training_does_not():
    scores, relations, objective = denoised([0.1, 0.2]), rated(Pair(0, 1)), Anchored(DPO())
    with pytest.raises(CapabilityError, match="anchoring records"):
        objective(scores, scores, relations)
    assert objective.eval()(scores, scores, relations).loss.item() == pytest.approx(math.log(2))
    with pytest.raises(PrefalignError, match="weight > 0"):
        Anchored(DPO(), 0.0)
