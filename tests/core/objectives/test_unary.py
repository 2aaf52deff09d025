"""KTO, unpaired APO and BCO."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.interfaces import CapabilityError, PrefalignError
from prefalign.objectives.dpo import DPO
from prefalign.objectives.unary import BCO, KTO

A, B = (0.5, -1.0, 0.75, 3.0), (-0.5, 0.5, -1.0, -1.0)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.fixture
def with_baseline(scores, relations):
    """The golden rows and two mismatched ones whose log ratios 0.5 and 0.1 average to 0.3."""
    reference = [-13, -29, -9, -24, -13.5, -28, -15, -20]
    policy = [r + x for r, x in zip(reference, (*A, *B), strict=True)]
    rows = relations(4, mismatched=2)
    return scores([*policy, -7.5, -8.9]), scores([*reference, -8.0, -9.0]), rows


def test_kto_has_its_golden_value(with_baseline):
    """z = 0.3: chosen 1 − σ(0.1(a − z)), rejected 1 − σ(0.1(z − b)); TRL's formula gives the mean 0.4836519183."""
    output = KTO(beta=0.1)(*with_baseline)
    by_hand = [1 - sigmoid(0.1 * (a - 0.3)) for a in A] + [1 - sigmoid(0.1 * (0.3 - b)) for b in B]
    assert output.per_sample.tolist() == pytest.approx(by_hand, abs=1e-9)
    assert output.per_sample[:4].tolist() == pytest.approx([0.49500017, 0.53245431, 0.48875190, 0.43290710], abs=6e-9)
    assert output.per_sample[4:].tolist() == pytest.approx([0.48001066, 0.50499983, 0.46754569, 0.46754569], abs=6e-9)
    assert output.loss.item() == pytest.approx(0.4836519183, abs=6e-11)


def test_kto_metrics_have_trl_names(with_baseline):
    metrics = {name: value.item() for name, value in KTO(beta=0.1)(*with_baseline).metrics.items()}
    assert metrics == pytest.approx(
        {
            "kl": 0.3,
            "rewards/chosen": 0.08125,
            "rewards/rejected": -0.05,
            "rewards/margins": 0.13125,
            "logps/chosen": -17.9375,
            "logps/rejected": -19.625,
        }
    )


def test_kto_weights_both_kinds_and_records(with_baseline):
    policy, reference, rows = with_baseline
    plain = KTO(beta=0.1)(policy, reference, rows).per_sample
    rows.row_weight[0] = 3.0
    output = KTO(beta=0.1, desirable_weight=1.25, undesirable_weight=0.5)(policy, reference, rows)
    factors = torch.tensor([3.75, 1.25, 1.25, 1.25, 0.5, 0.5, 0.5, 0.5], dtype=torch.float64)
    torch.testing.assert_close(output.per_sample, factors * plain)
    assert output.loss.item() == pytest.approx((factors * plain).sum().item() / 8, abs=1e-12)


def test_the_baseline_is_at_least_zero_and_has_no_gradient(scores, relations):
    """Mismatched ratio −4 is cut to 0, so the desirable row at ratio 0 costs ½ and its neighbour gets no gradient."""
    logps = torch.tensor([-1.0, -9.0], dtype=torch.float64, requires_grad=True)
    rows = relations(0, extra=[1.0], mismatched=1)
    output = KTO(beta=0.1)(scores(logps), scores([-1.0, -5.0]), rows)
    output.loss.backward()
    assert output.loss.item() == pytest.approx(0.5)
    assert output.metrics["kl"].item() == 0.0
    assert logps.grad[0] < 0
    assert logps.grad[1] == 0


def test_needs_and_batch_dependence():
    assert KTO().needs == {"reference", "mismatched"}
    assert KTO().batch_dependent
    assert KTO(loss_type="apo_zero_unpaired").needs == {"reference"}
    assert not KTO(loss_type="apo_zero_unpaired").batch_dependent
    assert BCO().batch_dependent


def test_unpaired_apo_of_a_pair_is_half_of_apo_zero(golden):
    """The mean over both rows of a pair, against the sum over the pair."""
    unpaired = KTO(beta=0.1, loss_type="apo_zero_unpaired")(*golden).loss
    torch.testing.assert_close(unpaired, DPO(beta=0.1, loss_type="apo_zero")(*golden).loss / 2)


def test_bco_without_history_is_half_of_bco_pair(golden):
    """In evaluation nothing enters the running mean, which is 0."""
    output = BCO(beta=0.1).eval()(*golden)
    torch.testing.assert_close(output.loss, DPO(beta=0.1, loss_type="bco_pair")(*golden).loss / 2)
    assert output.metrics["delta"].item() == 0.0


def test_bco_shifts_by_the_mean_of_all_rewards_seen(golden, scores, relations):
    """First batch: rewards 0.1·(A, B), mean 0.015625. Second: one row at reward 0.3, mean (8 · 0.015625 + 0.3) / 9."""
    objective = BCO(beta=0.1)
    first = objective(*golden)
    by_hand = [-math.log(sigmoid(0.1 * a - 0.015625)) for a in A] + [-math.log(sigmoid(0.015625 - 0.1 * b)) for b in B]
    assert first.per_sample.tolist() == pytest.approx(by_hand, abs=1e-9)
    second = objective(scores([-1.0]), scores([-4.0]), relations(0, extra=[1.0]))
    shift = (8 * 0.015625 + 0.3) / 9
    assert second.metrics["delta"].item() == pytest.approx(shift, abs=1e-7)
    assert second.loss.item() == pytest.approx(-math.log(sigmoid(0.3 - shift)), abs=1e-7)


def test_bco_keeps_its_mean_over_a_restart_and_in_half_precision(golden):
    objective = BCO(beta=0.1)
    objective(*golden)
    state = objective.state_dict()
    again = BCO(beta=0.1).to(torch.bfloat16)
    again.load_state_dict(state)
    assert again.mean.dtype == torch.float32
    assert again.mean.item() == pytest.approx(0.015625)
    assert again.count.item() == 8


@pytest.mark.parametrize("make", [lambda: KTO(loss_type="apo_zero_unpaired"), BCO])
def test_a_batch_without_labels_has_a_connected_loss_of_zero(make, scores, relations):
    policy = scores(torch.tensor([-1.0], requires_grad=True))
    output = make()(policy, scores([-1.0]), relations(0, extra=[math.nan]))
    output.loss.backward()
    assert output.loss.item() == 0.0
    assert policy.logps.grad.tolist() == [0.0]
    assert "rewards/margins" not in output.metrics


def test_what_is_missing_is_named(golden, scores, relations):
    policy, reference, rows = golden
    with pytest.raises(CapabilityError, match="mismatched rows"):
        KTO()(policy, reference, rows)
    with pytest.raises(CapabilityError, match="reference"):
        BCO()(policy, None, rows)
    with pytest.raises(PrefalignError, match="beta > 0"):
        KTO(beta=-1.0)
    with pytest.raises(PrefalignError, match="no default beta"):
        BCO()(scores([-1.0], units="bits"), scores([-1.0], units="bits"), relations(0, extra=[1.0]))
