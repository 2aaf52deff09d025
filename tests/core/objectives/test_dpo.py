"""The assembly around the pairwise losses: what each option does, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.functional.links import logistic
from prefalign.interfaces import CapabilityError, PrefalignError, PreferenceRecord, Prompt, Ranking, Relations, Response
from prefalign.objectives.dpo import DPO
from prefalign.objectives.pairs import PAIR_LOSSES, PairLoss
from prefalign.objectives.pairwise_losses import IPO

DELTA = (1.0, -1.5, 1.75, 4.0)


def logits(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_metrics_have_trl_names_and_values(golden):
    """β times a = (½, −1, ¾, 3) and b = (−½, ½, −1, −1): means 0.08125 and −0.05, three of four pairs right."""
    output = DPO(beta=0.1)(*golden)
    found = {name: value.item() for name, value in output.metrics.items()}
    assert found == pytest.approx(
        {
            "rewards/chosen": 0.08125,
            "rewards/rejected": -0.05,
            "rewards/margins": 0.13125,
            "rewards/accuracies": 0.75,
            "logps/chosen": -17.9375,
            "logps/rejected": -19.625,
        }
    )
    assert output.margins.tolist() == pytest.approx([0.1 * d for d in DELTA])


def test_needs_follow_the_options():
    assert DPO().needs == {"reference"}
    assert DPO(loss_type="sft").needs == {"likelihood"}
    assert DPO(use_weighting=True).needs == {"reference", "token_logps", "collision"}
    for option in ({"ld_alpha": 0.5}, {"average": True}):
        assert DPO(**option).needs == {"reference", "token_logps"}
    for option in ({"nll_weight": 1.0}, {"verified_weight": 1.0}):
        assert DPO(**option).needs == {"reference", "likelihood"}


def test_batch_dependence_follows_the_losses():
    assert not DPO().batch_dependent
    assert DPO(loss_type="aot").batch_dependent
    assert DPO(loss_type=["sigmoid", "sft"]).batch_dependent
    assert DPO(verified_weight=1.0).batch_dependent


def test_soft_labels_and_ties_mix_both_orders(golden, relations):
    """p = 0.75 and ½ on the first two pairs: −p log σ(x) − (1 − p) log σ(−x)."""
    policy, reference, _ = golden
    soft = relations(4, probability=torch.tensor([0.75, 0.5, 1.0, 1.0]), tie=torch.tensor([False, True, False, False]))
    output = DPO(beta=0.1)(policy, reference, soft)
    expected = logistic(0.1 * logits(*DELTA), logits(0.25, 0.5, 0.0, 0.0))
    torch.testing.assert_close(output.per_sample, expected, atol=1e-12, rtol=0)


def test_a_label_smoothing_of_epsilon_is_a_soft_label_of_one_minus_epsilon(golden, relations):
    policy, reference, sure = golden
    smoothed = DPO(beta=0.1, label_smoothing=0.125)(policy, reference, sure).loss
    soft = DPO(beta=0.1)(policy, reference, relations(4, probability=torch.full((4,), 0.875))).loss
    torch.testing.assert_close(smoothed, soft, atol=1e-12, rtol=0)


class Exponential(PairLoss):
    """e^{−x}, which overflows float64 beyond x = −709."""

    name = "test/exponential"

    def forward(self, pairs):
        return torch.exp(-pairs.logit(1.0))


def test_certain_pairs_are_safe_from_an_overflow_in_the_other_order(scores, relations):
    """The first pair, e^{−1000}, would cost e^{1000} = ∞ the other way round; its weight 0 wins, also in backward."""
    policy = scores(torch.tensor([1000.0, 0.5, 0.0, 0.0], dtype=torch.float64, requires_grad=True))
    reference = scores([0.0, 0.0, 0.0, 0.0])
    soft = relations(2, probability=torch.tensor([1.0, 0.75]))
    output = DPO(loss_type=Exponential())(policy, reference, soft)
    output.loss.backward()
    mixed = 0.75 * math.exp(-0.5) + 0.25 * math.exp(0.5)
    assert output.per_sample.tolist() == pytest.approx([0.0, mixed], abs=1e-12)
    assert policy.logps.grad.isfinite().all()


def test_margins_are_required_of_either_order_and_not_of_ties(golden, relations):
    policy, reference, _ = golden
    marked = relations(
        4,
        margin=torch.tensor([0.25, 0.25, 0.25, 0.0]),
        probability=torch.tensor([1.0, 0.75, 0.5, 1.0]),
        tie=torch.tensor([False, False, True, False]),
    )
    x = [0.1 * d for d in DELTA]
    expected = [
        logistic(logits(x[0] - 0.25)),
        0.75 * logistic(logits(x[1] - 0.25)) + 0.25 * logistic(logits(-x[1] - 0.25)),
        logistic(logits(x[2]), 0.5),
        logistic(logits(x[3])),
    ]
    output = DPO(beta=0.1)(policy, reference, marked)
    torch.testing.assert_close(output.per_sample, torch.cat(expected), atol=1e-12, rtol=0)
    ignoring = DPO(beta=0.1, record_margins=False)(policy, reference, marked).per_sample
    assert ignoring[0].item() == pytest.approx(logistic(logits(x[0])).item(), abs=1e-12)


def test_ipo_takes_margins_in_units_of_reward(golden, relations):
    """A margin m of reward is m/β of log ratio: (Δ − m/β − 1/(2β))²."""
    policy, reference, _ = golden
    marked = relations(4, margin=torch.full((4,), 0.25))
    output = DPO(beta=0.5, loss_type="ipo", length_normalise=False)(policy, reference, marked)
    assert output.per_sample.tolist() == pytest.approx([(d - 0.5 - 1) ** 2 for d in DELTA], abs=1e-12)


def test_pair_weights_are_factors_on_the_loss(golden, relations):
    policy, reference, plain = golden
    each = DPO(beta=0.1)(policy, reference, plain).per_sample
    weighted = DPO(beta=0.1)(policy, reference, relations(4, pair_weight=torch.tensor([0.0, 1.0, 2.0, 0.5])))
    assert weighted.loss.item() == pytest.approx((each[1] + 2 * each[2] + 0.5 * each[3]).item() / 4, abs=1e-12)


def test_length_alpha_rewards_the_longer_chosen_response(golden):
    """R-DPO: x + α(|y_c| − |y_r|) with lengths (5, 12, 4, 9) and (6, 10, 8, 9), α = 0.05; α = 0 is DPO."""
    output = DPO(beta=0.1, length_alpha=0.05)(*golden)
    shifted = [0.1 * d + 0.05 * n for d, n in zip(DELTA, (-1, 2, -4, 0), strict=True)]
    torch.testing.assert_close(output.per_sample, logistic(logits(*shifted)), atol=1e-12, rtol=0)
    assert DPO(beta=0.1, length_alpha=0.0)(*golden).loss == DPO(beta=0.1)(*golden).loss


def test_length_normalisation_turns_sigmoid_into_sigmoid_norm(golden):
    normal = DPO(beta=0.1, length_normalise=True)(*golden).loss
    torch.testing.assert_close(normal, DPO(beta=0.1, loss_type="sigmoid_norm")(*golden).loss)


def test_ipo_of_sums_is_the_other_dialect(golden):
    output = DPO(beta=0.1, loss_type="ipo", length_normalise=False)(*golden)
    assert output.per_sample.tolist() == pytest.approx([(d - 5) ** 2 for d in DELTA], abs=1e-12)


@pytest.mark.parametrize("ld_reference", [True, False])
def test_ld_alpha_weighs_tokens_beyond_the_shorter_response(ld_reference, tokens, relations):
    """Chosen 3 tokens, rejected 1; the two last chosen tokens count α = 0.5.

    Policy: −1 + ½(−2 − 4) = −4 against −3. Reference: −1 + ½(−1 − 1) = −2 (plain −3) against −2.
    """
    policy, reference = tokens([[-1.0, -2.0, -4.0], [-3.0]]), tokens([[-1.0, -1.0, -1.0], [-2.0]])
    output = DPO(beta=1.0, ld_alpha=0.5, ld_reference=ld_reference)(policy, reference, relations(1))
    held = -2.0 if ld_reference else -3.0
    assert output.margins.item() == pytest.approx((-4 - held) - (-3 + 2), abs=1e-12)


def test_ld_alpha_one_is_dpo_and_keeps_segment_weights(tokens, relations):
    policy = tokens([[-1.0, -2.0], [-3.0]], weights=[[1.0, 5.0], [2.0]])
    reference = tokens([[-1.5, -1.0], [-2.0]], weights=[[1.0, 5.0], [2.0]])
    plain = DPO(beta=0.1)(policy, reference, relations(1)).loss
    torch.testing.assert_close(DPO(beta=0.1, ld_alpha=1.0)(policy, reference, relations(1)).loss, plain)


def test_weighting_multiplies_by_both_confidences(tokens, relations):
    """Two tokens at p = ½ with Σp² = ½ have weight 1; one token at p = ¼ with Σp² = ½ has weight ½."""
    half, quarter = math.log(0.5), math.log(0.25)
    collision = torch.full((2, 2), half, dtype=torch.float64)
    policy, reference = tokens([[half, half], [quarter]], collision=collision), tokens([[-1.0, -1.0], [-1.0]])
    plain = DPO(beta=0.1)(policy, reference, relations(1)).loss
    weighted = DPO(beta=0.1, use_weighting=True)(policy, reference, relations(1)).loss
    torch.testing.assert_close(weighted, 0.5 * plain)


def test_nll_weight_is_the_loss_sft(tokens, relations):
    policy, reference = tokens([[-1.0, -2.0], [-3.0]]), tokens([[-1.0, -1.0], [-2.0]])
    with_weight = DPO(beta=0.1, nll_weight=0.5)(policy, reference, relations(1))
    as_loss = DPO(beta=0.1, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.5])(policy, reference, relations(1))
    assert with_weight.loss.item() == pytest.approx(as_loss.loss.item(), abs=1e-12)
    assert with_weight.metrics["nll_loss"].item() == pytest.approx(1.5)


def test_the_likelihood_ignores_segment_weights(tokens, relations):
    policy = tokens([[-1.0, -2.0], [-3.0]], weights=[[1.0, 5.0], [1.0]])
    assert DPO(loss_type="sft")(policy, None, relations(1)).loss.item() == pytest.approx(1.5)


def test_verified_rows_add_their_token_mean_likelihood(tokens, relations):
    """Unpaired rows: desirable (−1, −3; weight ½), undesirable (−9), unknown (−8): NLL ½ · 2 on top of the pair."""
    rows = [[-1.0], [-2.0], [-1.0, -3.0], [-9.0], [-8.0]]
    batch = relations(1, extra=[1.0, 0.0, math.nan])
    batch.row_weight[2] = 0.5
    policy, reference = tokens(rows), tokens(rows)
    output = DPO(beta=0.1, verified_weight=0.25)(policy, reference, batch)
    assert output.loss.item() == pytest.approx(math.log(2) + 0.25, abs=1e-12)
    assert output.metrics["verified_nll_loss"].item() == pytest.approx(1.0)


@pytest.mark.parametrize("options", [{}, {"verified_weight": 1.0}, {"loss_type": "aot"}, {"nll_weight": 1.0}])
def test_a_batch_without_pairs_has_a_finite_connected_loss(options, tokens, relations):
    policy = tokens([[-1.0, -3.0], [-2.0]])
    policy.logps.requires_grad_()
    policy.token_logps.requires_grad_()
    output = DPO(beta=0.1, **options)(policy, tokens([[-1.0, -1.0], [-1.0]]), relations(0, extra=[1.0, 0.0]))
    output.loss.backward()
    assert output.loss.item() == pytest.approx(2.0 if "verified_weight" in options else 0.0)
    assert policy.logps.grad.tolist() == [0.0, 0.0]
    assert not any(name.startswith("rewards/") for name in output.metrics)


def test_rankings_give_all_their_pairs(scores):
    """Three ranked responses: three pairs, whose losses are averaged."""
    record = PreferenceRecord(
        id="r",
        prompt=Prompt(text="q"),
        responses=tuple(Response(text=t) for t in "abc"),
        verdict=Ranking((1, 0, 2)),
    )
    output = DPO(beta=1.0)(scores([0.5, 1.5, -1.0]), scores([0.0, 0.0, 0.0]), Relations.from_records([record]))
    expected = logistic(logits(1.0, 1.5, 2.5))
    assert output.loss.item() == pytest.approx(expected.mean().item(), abs=1e-12)


def test_half_precision_scores_are_summed_in_float32(scores, relations):
    """In bfloat16 1000.0 − 996.0 would survive, but 0.1·Δ and its logistic would not: the loss is that of float32."""
    policy = scores(torch.tensor([-1000.0, -1004.0], dtype=torch.bfloat16))
    reference = scores(torch.tensor([-996.0, -996.0], dtype=torch.bfloat16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = DPO(beta=0.1)(policy, reference, relations(1)).loss
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log1p(math.exp(-0.4)), abs=1e-6)


def test_a_loss_object_brings_its_own_hyper_parameters(golden):
    objective = DPO(loss_type=["sigmoid", IPO(beta=0.5)], beta=0.1, loss_weights=[1.0, 0.0])
    assert objective.losses[1].beta == 0.5
    assert objective(*golden).loss.item() == pytest.approx(0.6344598477, abs=1e-9)


REFUSED = {
    "unknown loss": ({"loss_type": "sigmod"}, "'sigmoid'"),
    "unknown divergence": ({"f_divergence_type": "forward-kl"}, "'forward_kl'"),
    "no loss": ({"loss_type": []}, "names no loss"),
    "weights of another length": ({"loss_weights": [1.0, 2.0]}, "each of 1 losses"),
    "infinite weight": ({"loss_weights": [math.inf]}, "finite"),
    "beta of zero": ({"beta": 0.0}, "beta > 0"),
    "NaN beta": ({"beta": math.nan}, "beta > 0"),
    "smoothing too large": ({"label_smoothing": 0.6}, "1/2"),
    "robust at one half": ({"loss_type": "robust", "label_smoothing": 0.5}, "below 1/2"),
    "exo without smoothing": ({"loss_type": "exo_pair"}, "needs label_smoothing"),
    "exo with none": ({"loss_type": "exo_pair", "label_smoothing": 0.0}, "1e-3"),
    "tau too large": ({"loss_type": "discopop", "discopop_tau": 2.0}, "discopop_tau"),
    "ld_alpha out of range": ({"ld_alpha": 1.5}, "ld_alpha"),
    "negative nll_weight": ({"nll_weight": -1.0}, "nll_weight"),
    "smoothing with hinge": ({"loss_type": "hinge", "label_smoothing": 0.1}, "no effect on the loss hinge"),
    "beta with sft": ({"loss_type": "sft", "beta": 0.1}, "beta=0.1 would have no effect"),
    "tau without discopop": ({"discopop_tau": 0.05}, "discopop_tau=0.05 would have no effect"),
    "divergence with bco": ({"loss_type": "bco_pair", "f_divergence_type": "forward_kl"}, "f_divergence_type"),
    "coefficient without alpha": ({"f_alpha_divergence_coef": 0.5}, "no effect on reverse_kl"),
    "length_alpha with nca": ({"loss_type": "nca_pair", "length_alpha": 0.1}, "length_alpha"),
    "ld_alpha with sft": ({"loss_type": "sft", "ld_alpha": 0.5}, "ld_alpha"),
    "average with sft": ({"loss_type": "sft", "average": True}, "average"),
    "ld_reference alone": ({"ld_reference": False}, "ld_alpha"),
    "average twice": ({"loss_type": "ipo", "average": True}, "length_normalise"),
    "weighting of sorted pairs": ({"loss_type": "aot", "use_weighting": True}, "use_weighting"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_at_construction(case):
    options, message = REFUSED[case]
    with pytest.raises(PrefalignError, match=message):
        DPO(**options)


def test_a_setting_that_one_of_several_losses_reads_is_accepted():
    losses = DPO(loss_type=["hinge", "sigmoid"], label_smoothing=0.1).losses
    assert not hasattr(losses[0], "label_smoothing")
    assert losses[1].label_smoothing == 0.1


def test_what_a_batch_brings_and_the_loss_cannot_honour_is_refused(golden, relations):
    policy, reference, _ = golden
    with pytest.raises(PrefalignError, match=r"margins, which nca_pair cannot honour; set record_margins: false"):
        DPO(loss_type="nca_pair")(policy, reference, relations(4, margin=torch.ones(4)))
    DPO(loss_type="nca_pair", record_margins=False)(policy, reference, relations(4, margin=torch.ones(4)))
    for change in ({"probability": torch.full((4,), 0.9)}, {"pair_weight": torch.full((4,), 2.0)}):
        with pytest.raises(PrefalignError, match="aot cannot honour"):
            DPO(loss_type="aot")(policy, reference, relations(4, **change))


def test_missing_scores_are_named(golden, relations):
    policy, reference, pairs = golden
    with pytest.raises(CapabilityError, match="needs a reference"):
        DPO()(policy, None, pairs)
    with pytest.raises(CapabilityError, match="token log-probabilities"):
        DPO(ld_alpha=0.5)(policy, reference, pairs)
    with pytest.raises(CapabilityError, match="token log-probabilities"):
        DPO(loss_type="sft")(policy, None, pairs)
    with pytest.raises(CapabilityError, match="collision"):
        DPO(use_weighting=True)(policy, reference, pairs)


@pytest.mark.parametrize(("units", "beta"), [("nats", 0.1), ("mse/2", 2000.0), ("mse", 1000.0)])
def test_the_default_beta_belongs_to_the_unit(scores, relations, units, beta):
    """A score difference of 1e-3 against the reference gives a reward margin of 1e-3 times the unit's beta."""
    policy, reference = (scores(logps, units=units) for logps in ([-0.1, -0.2], [-0.1005, -0.1995]))
    objective = DPO()
    assert objective(policy, reference, relations(1)).margins.item() == pytest.approx(1e-3 * beta, rel=1e-4)
    assert objective.losses[0].beta == beta
    assert DPO(beta=7.0)(policy, reference, relations(1)).margins.item() == pytest.approx(7e-3, rel=1e-4)


def test_an_unknown_unit_has_no_default_beta(scores, relations):
    bits = scores([-0.1, -0.2], units="bits")
    with pytest.raises(PrefalignError, match="no default beta for scores in bits"):
        DPO()(bits, bits, relations(1))
    assert DPO(beta=1.0)(bits, bits, relations(1)).loss.item() == pytest.approx(math.log(2))


def test_averaging_refuses_weights_without_a_positive_sum(tokens, relations):
    policy = tokens([[-1.0, -1.0], [-1.0]], weights=[[1.0, -1.0], [1.0]])
    with pytest.raises(PrefalignError, match="positive"):
        DPO(average=True)(policy, policy, relations(1))


def test_all_fifteen_losses_of_trl_are_there():
    assert set(PAIR_LOSSES) >= {
        *("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot"),
        *("aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"),
    }
