"""Contrastive preference learning, arXiv 2310.13639, without and with a reference."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.interfaces import CapabilityError, PrefalignError
from prefalign.objectives.dpo import DPO
from prefalign.objectives.reference_free import CPO

CHOSEN, REJECTED = (-12.5, -30, -8.25, -21), (-14, -27.5, -16, -21)
RATIOS = ((0.5, -1.0, 0.75, 3.0), (-0.5, 0.5, -1.0, -1.0))


def nll_of_sigmoid(x: float) -> float:
    return math.log1p(math.exp(-x))


def test_without_reference_it_reads_log_probabilities(golden):
    """β = 0.1, λ = 1/2; the first pair: 0.1 · (−12.5 + 7) = −0.55, whose −log σ is log(1 + e^0.55) = 1.00549 …"""
    policy, _, relations = golden
    objective = DPO(loss_type="cpl")
    assert objective.needs == frozenset()
    output = objective(policy, None, relations)
    by_hand = [nll_of_sigmoid(0.1 * (c - r / 2)) for c, r in zip(CHOSEN, REJECTED, strict=True)]
    assert by_hand[0] == pytest.approx(math.log(1 + math.exp(0.55)))
    assert output.per_sample.tolist() == pytest.approx(by_hand, abs=1e-12)
    assert output.loss.item() == pytest.approx(sum(by_hand) / 4, abs=1e-12)
    assert output.metrics["rewards/chosen"].item() == pytest.approx(0.1 * sum(CHOSEN) / 4, abs=1e-12)


def test_with_a_reference_it_reads_log_ratios(golden):
    objective = DPO(beta=0.2, loss_type="cpl_kl", contrastive_bias=0.25)
    assert objective.needs == {"reference"}
    by_hand = [nll_of_sigmoid(0.2 * (a - b / 4)) for a, b in zip(*RATIOS, strict=True)]
    assert objective(*golden).per_sample.tolist() == pytest.approx(by_hand, abs=1e-12)
    with pytest.raises(CapabilityError, match="needs a reference"):
        objective(golden[0], None, golden[2])


def test_with_the_whole_of_the_rejected_score_it_is_dpo_and_cpo(golden):
    policy, reference, relations = golden
    found = DPO(loss_type="cpl_kl", contrastive_bias=1.0)(policy, reference, relations)
    assert torch.equal(found.per_sample, DPO()(policy, reference, relations).per_sample)
    found = DPO(loss_type="cpl", contrastive_bias=1.0)(policy, None, relations)
    assert torch.equal(found.per_sample, CPO(nll_weight=0.0)(policy, None, relations).per_sample)


def test_where_policy_and_reference_agree_it_is_log_two(golden):
    policy, _, relations = golden
    found = DPO(loss_type="cpl_kl")(policy, policy, relations).per_sample
    assert found.tolist() == pytest.approx([math.log(2)] * 4, abs=1e-12)


def test_doubtful_labels_and_ties_count_both_ways(golden, relations):
    """p L(c, r) + (1 − p) L(r, c), where L is not symmetric: λ falls to the one that is rejected."""
    policy, _, _ = golden
    probability = torch.tensor([0.8, 0.5, 1.0, 0.6])
    judged = relations(4, probability=probability, tie=probability == 0.5, pair_weight=torch.tensor([1.0, 1, 1, 3]))
    by_hand = [
        w * (p * nll_of_sigmoid(0.1 * (c - r / 2)) + (1 - p) * nll_of_sigmoid(0.1 * (r - c / 2)))
        for c, r, p, w in zip(CHOSEN, REJECTED, (0.8, 0.5, 1.0, 0.6), (1, 1, 1, 3), strict=True)
    ]
    assert DPO(loss_type="cpl")(policy, None, judged).per_sample.tolist() == pytest.approx(by_hand, rel=1e-6)


def test_the_bias_favours_policies_that_keep_the_data_likely(golden, relations):
    """Raising all log-probabilities alike lowers the loss; DPO's does not notice."""
    policy, _, pairs = golden
    for kind, changes in (("cpl", True), ("sigmoid", False)):
        logps = policy.logps.clone().requires_grad_()
        policy_ = type(policy)(logps, policy.lengths)
        DPO(loss_type=kind)(policy_, policy, pairs).loss.backward()
        assert (logps.grad.sum() < -1e-3) == changes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss_type": "cpl", "contrastive_bias": 0.0}, r"0 < contrastive_bias <= 1, got 0\.0"),
        ({"loss_type": "cpl_kl", "contrastive_bias": 1.5}, "0 < contrastive_bias <= 1"),
        ({"contrastive_bias": 0.5}, r"contrastive_bias=0\.5 would have no effect on the loss sigmoid"),
        ({"loss_type": "cpl", "label_smoothing": 0.1}, "label_smoothing"),
        ({"loss_type": "cpl", "length_alpha": 0.1}, "length_alpha"),
        ({"loss_type": "cpl", "f_divergence_type": "forward_kl"}, "f_divergence_type"),
    ],
)
def test_settings_without_effect_or_out_of_range_are_refused(options, message):
    with pytest.raises(PrefalignError, match=message):
        DPO(**options)


def test_margins_that_it_cannot_honour_are_refused(golden, relations):
    policy, _, _ = golden
    with pytest.raises(PrefalignError, match="margins, which cpl cannot honour"):
        DPO(loss_type="cpl")(policy, None, relations(4, margin=torch.ones(4)))
