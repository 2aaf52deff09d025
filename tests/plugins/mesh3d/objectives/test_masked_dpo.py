"""M-DPO by hand, its reductions, and what an empty mask, padding or length must not do.

In `batch` the chosen responses are rows 0 to B − 1 and the rejected ones rows B to 2B − 1.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.interfaces import (
    CapabilityError,
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
from prefalign_mesh3d.objectives.masked_dpo import DEFAULT_BETA, MaskedDPO, log_mass

FORMS = ["prob_l1", "logp_sum"]


def relations(count, **fields):
    """B pairs; row i against row B + i."""
    responses = (Response(text="a"), Response(text="b"))
    given_ = {"verdict": Pair()} | fields
    records = [
        PreferenceRecord(id=f"r{i}", prompt=Prompt(text="p"), responses=responses, **given_) for i in range(count)
    ]
    found = Relations.from_records(records)
    found.chosen, found.rejected = torch.arange(count), torch.arange(count, 2 * count)
    return found


def scores(rows, weights=None, pad=0, dtype=torch.float64):
    """Scores of rows of token log-probabilities, padded on the right, with `pad` more columns of padding."""
    width = max(len(row) for row in rows) + pad
    logps, weight = torch.zeros(len(rows), width, dtype=dtype), torch.zeros(len(rows), width, dtype=dtype)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        logps[i, : len(row)] = torch.as_tensor(row, dtype=dtype)
        weight[i, : len(row)] = 1.0 if weights is None else torch.as_tensor(weights[i], dtype=dtype)
        mask[i, : len(row)] = True
    logps.requires_grad_(True)
    return ResponseScores(
        (logps * weight).sum(-1), mask.sum(-1).to(dtype), token_logps=logps, mask=mask, weights=weight
    )


def logs(*probabilities):
    return [math.log(p) for p in probabilities]


#: Probabilities of one pair, masked by (1, 1, 0) and (0, 1).
POLICY = [logs(0.5, 0.25, 0.9), logs(0.3, 0.1)]
REFERENCE = [logs(0.4, 0.2, 0.1), logs(0.3, 0.2)]
MASKS = [[1, 1, 0], [0, 1]]


def softplus(x):
    return math.log1p(math.exp(x))


def test_prob_l1_by_hand():
    """L⁺ = log(0.75/0.6) = log 1.25, L⁻ = log(0.1/0.2) = −log 2; −log σ(2 log 2.5) = log(1 + 2.5⁻²) = log 1.16."""
    output = MaskedDPO(beta=2.0)(scores(POLICY, MASKS), scores(REFERENCE, MASKS), relations(1))
    assert output.loss.item() == pytest.approx(math.log(1.16), abs=1e-12)
    assert output.margins.tolist() == pytest.approx([2 * math.log(2.5)])
    found = {name: value.item() for name, value in output.metrics.items()}
    assert found == pytest.approx(
        {
            "rewards/chosen": 2 * math.log(1.25),
            "rewards/rejected": -2 * math.log(2),
            "rewards/margins": 2 * math.log(2.5),
            "rewards/accuracies": 1.0,
            "logps/chosen": math.log(0.5 * 0.25 * 0.9),
            "logps/rejected": math.log(0.03),
            "logps/chosen_shift": math.log(0.1125 / 0.008),
            "logps/rejected_shift": -math.log(2),
            "masks/empty_chosen": 0.0,
            "masks/empty_rejected": 0.0,
        }
    )


def test_logp_sum_by_hand():
    """L⁺ = log(0.125/0.08) = log 1.5625, L⁻ = −log 2: −log σ(0.5 log 3.125) = log(1 + 3.125^−0.5)."""
    output = MaskedDPO(beta=0.5, mask_form="logp_sum")(scores(POLICY, MASKS), scores(REFERENCE, MASKS), relations(1))
    assert output.loss.item() == pytest.approx(math.log(1 + 3.125**-0.5), abs=1e-12)
    assert output.metrics["logps/chosen"].item() == pytest.approx(math.log(0.1125))
    assert output.metrics["rewards/chosen"].item() == pytest.approx(0.5 * math.log(1.5625))


def test_weights_multiply_probabilities():
    """3 · 0.5 + 0.9 against 3 · 0.4 + 0.1: L⁺ = log(2.4/1.3)."""
    masks = [[3, 0, 1], [0, 1]]
    output = MaskedDPO(beta=1.0)(scores(POLICY, masks), scores(REFERENCE, masks), relations(1))
    assert output.metrics["rewards/chosen"].item() == pytest.approx(math.log(2.4 / 1.3))


@pytest.mark.parametrize("form", FORMS)
def test_policy_at_the_reference_costs_log_2(form):
    output = MaskedDPO(mask_form=form)(scores(POLICY, MASKS), scores(POLICY, MASKS), relations(1))
    assert output.loss.item() == pytest.approx(math.log(2), abs=1e-12)


tokens = st.lists(st.floats(-6, -0.01), min_size=1, max_size=5)
four = st.lists(tokens, min_size=4, max_size=4)


@settings(deadline=None, max_examples=50)
@given(rows=four, data=st.data(), nll=st.sampled_from([0.0, 0.7]), smoothing=st.sampled_from([None, 0.1]))
def test_logp_sum_with_ones_is_dpo(rows, data, nll, smoothing):
    held = [data.draw(st.lists(st.floats(-6, -0.01), min_size=len(row), max_size=len(row))) for row in rows]
    given_settings = {"beta": 0.3, "nll_weight": nll, "label_smoothing": smoothing}
    judged = relations(2, margin=0.2, weight=0.5, verdict=Pair(probability=0.8))
    mine, theirs = scores(rows), scores(rows)
    masked = MaskedDPO(mask_form="logp_sum", **given_settings)(mine, scores(held), judged)
    plain = DPO(**given_settings)(theirs, scores(held), judged)
    torch.testing.assert_close(masked.loss, plain.loss, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(masked.per_sample, plain.per_sample, atol=1e-12, rtol=1e-12)
    assert plain.metrics.keys() < masked.metrics.keys()
    for name, value in plain.metrics.items():
        torch.testing.assert_close(masked.metrics[name], value, atol=1e-9, rtol=1e-9)
    masked.loss.backward()
    plain.loss.backward()
    torch.testing.assert_close(mine.token_logps.grad, theirs.token_logps.grad, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_one_token_a_side_is_dpo_in_either_form(form):
    """A sum over one probability is that probability."""
    one = [[-0.5], [-1.5]]
    masked = MaskedDPO(beta=0.3, mask_form=form)(scores(one), scores([[-1.0], [-0.25]]), relations(1))
    plain = DPO(beta=0.3)(scores(one), scores([[-1.0], [-0.25]]), relations(1))
    torch.testing.assert_close(masked.loss, plain.loss, atol=1e-12, rtol=0)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_by_finite_differences(form):
    """Float64; the second pair's chosen side and the third's rejected one have empty masks."""
    generator = torch.Generator().manual_seed(0)
    logps = -3 * torch.rand(6, 5, generator=generator, dtype=torch.float64) - 0.1
    weights = (torch.rand(6, 5, generator=generator) < 0.6).double()
    weights[1] = weights[5] = 0
    held = scores((logps - 0.3 * torch.rand(6, 5, generator=generator, dtype=torch.float64)).tolist(), weights)
    objective, judged = MaskedDPO(beta=1.3, mask_form=form, nll_weight=0.5), relations(3)

    def loss(values):
        policy = ResponseScores(
            (values * weights).sum(-1),
            torch.full((6,), 5.0).double(),
            token_logps=values,
            mask=torch.ones(6, 5, dtype=torch.bool),
            weights=weights,
        )
        return objective(policy, held, judged).loss

    assert torch.autograd.gradcheck(loss, (logps.requires_grad_(True),))


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_mask_adds_nothing_and_is_counted(form):
    """The chosen side of the first of two pairs, and the rejected side of both; the other side still learns."""
    masks = [[0, 0, 0], [1, 1, 0], [0, 0], [0, 0]]
    policy = scores([POLICY[0], POLICY[0], POLICY[1], POLICY[1]], masks)
    held = scores([REFERENCE[0], REFERENCE[0], REFERENCE[1], REFERENCE[1]], masks)
    output = MaskedDPO(beta=1.0, mask_form=form)(policy, held, relations(2))
    assert output.per_sample[0].item() == pytest.approx(math.log(2), abs=1e-12)
    ratio = math.log(1.25) if form == "prob_l1" else math.log(1.5625)
    assert output.per_sample[1].item() == pytest.approx(softplus(-ratio), abs=1e-12)
    assert output.metrics["masks/empty_chosen"].item() == 0.5
    assert output.metrics["masks/empty_rejected"].item() == 1.0
    output.loss.backward()
    gradient = policy.token_logps.grad
    assert gradient.isfinite().all()
    assert (gradient[1, :2] < 0).all()
    assert (gradient[[0, 2, 3]] == 0).all()
    assert gradient[1, 2] == 0


@pytest.mark.parametrize("form", FORMS)
def test_padding_changes_nothing(form):
    for nll_weight in (0.5, 0.0):
        objective = MaskedDPO(beta=1.0, mask_form=form, nll_weight=nll_weight)
        plain, padded = (scores(POLICY, MASKS, pad) for pad in (0, 4))
        first = objective(plain, scores(REFERENCE, MASKS), relations(1)).loss
        second = objective(padded, scores(REFERENCE, MASKS, 4), relations(1)).loss
        torch.testing.assert_close(first, second, atol=0, rtol=1e-14)
    first.backward()
    second.backward()
    torch.testing.assert_close(padded.token_logps.grad[:, :3], plain.token_logps.grad, atol=0, rtol=1e-14)
    assert (padded.token_logps.grad[:, 3:] == 0).all()


def test_the_mass_of_nothing_is_left_alone_in_the_backward_pass_as_well():
    """0 and no gradient; not even a NaN that a later product with 0 would have to hide."""
    logps = torch.tensor([[-1.0, -2.0], [-1.0, -2.0]], requires_grad=True)
    with pytest.warns(UserWarning, match="Anomaly Detection"):
        watching = torch.autograd.detect_anomaly()
    with watching:
        value = log_mass(logps, torch.tensor([[0.0, 0.0], [0.0, 2.0]]))
        value.sum().backward()
    assert value.tolist() == pytest.approx([0.0, math.log(2) - 2.0])
    assert logps.grad.tolist() == [[0.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("copies", [1, 2, 64])
def test_the_gradient_of_a_mass_does_not_grow_with_length(copies):
    """Σ_t |∂ log‖π·φ‖₁ / ∂ log π_t| = 1 for any number of tokens; of a sum of logarithms it is their number."""
    logps = torch.tensor([logs(0.5, 0.25, 0.9) * copies], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([[1.0, 1.0, 0.0] * copies], dtype=torch.float64)
    value = log_mass(logps, weights)
    assert value.item() == pytest.approx(math.log(0.75 * copies), abs=1e-12)
    value.sum().backward()
    assert logps.grad.abs().sum().item() == pytest.approx(1.0, abs=1e-12)
    assert logps.grad[0, :3].tolist() == pytest.approx([2 / 3 / copies, 1 / 3 / copies, 0.0], abs=1e-12)


def test_a_log_ratio_does_not_grow_with_length_and_a_sum_does():
    """Every token 1.1 times as likely: log 1.1 for one token and for a thousand; the sum is a thousand times that."""
    for length in (1, 1000):
        policy = [logs(0.55) * length, logs(0.5)]
        held = [logs(0.5) * length, logs(0.5)]
        for form, ratio in (("prob_l1", math.log(1.1)), ("logp_sum", length * math.log(1.1))):
            output = MaskedDPO(beta=1.0, mask_form=form)(scores(policy), scores(held), relations(1))
            assert output.metrics["rewards/chosen"].item() == pytest.approx(ratio, rel=1e-9)


@pytest.mark.parametrize("low", [-1e3, -1e5])
def test_tiny_probabilities_do_not_underflow(low):
    """e^−1000 is 0 even in float64; the ratio of two such masses is still e."""
    policy = scores([[low + 1, low + 1], [low]], dtype=torch.float32)
    output = MaskedDPO(beta=1.0)(policy, scores([[low, low], [low]], dtype=torch.float32), relations(1))
    assert output.metrics["rewards/chosen"].item() == pytest.approx(1.0, abs=0.02)
    output.loss.backward()
    assert policy.token_logps.grad.isfinite().all()


def test_half_precision_is_widened_first():
    policy, held = scores(POLICY, MASKS, dtype=torch.bfloat16), scores(REFERENCE, MASKS, dtype=torch.bfloat16)
    output = MaskedDPO(beta=2.0)(policy, held, relations(1))
    assert output.loss.dtype == torch.float32
    assert output.loss.item() == pytest.approx(math.log(1.16), abs=0.02)
    assert output.metrics["logps/chosen_shift"].dtype == torch.float32


@pytest.mark.parametrize("form", FORMS)
def test_the_anchor_reads_the_whole_chosen_response(form):
    """NLL per token, masks apart: −log 0.1125 / 3, times 2."""
    plain = MaskedDPO(beta=1.0, mask_form=form)(scores(POLICY, MASKS), scores(REFERENCE, MASKS), relations(1))
    held = MaskedDPO(beta=1.0, mask_form=form, nll_weight=2.0)(
        scores(POLICY, MASKS), scores(REFERENCE, MASKS), relations(1)
    )
    assert (held.loss - plain.loss).item() == pytest.approx(-2 * math.log(0.1125) / 3, abs=1e-12)
    assert held.metrics["nll_loss"].item() == pytest.approx(-math.log(0.1125) / 3)


def test_soft_labels_turn_the_same_scores_round():
    """p = 0.75, x = log 2.5: −0.75 log σ(x) − 0.25 log σ(−x)."""
    output = MaskedDPO(beta=1.0)(
        scores(POLICY, MASKS), scores(REFERENCE, MASKS), relations(1, verdict=Pair(probability=0.75))
    )
    x = math.log(2.5)
    assert output.loss.item() == pytest.approx(0.75 * softplus(-x) + 0.25 * softplus(x), abs=1e-12)


def test_margins_are_asked_for_beyond_the_masked_reward():
    marked = relations(1, margin=0.5)
    output = MaskedDPO(beta=1.0)(scores(POLICY, MASKS), scores(REFERENCE, MASKS), marked)
    assert output.loss.item() == pytest.approx(softplus(0.5 - math.log(2.5)), abs=1e-12)
    output = MaskedDPO(beta=1.0, record_margins=False)(scores(POLICY, MASKS), scores(REFERENCE, MASKS), marked)
    assert output.loss.item() == pytest.approx(softplus(-math.log(2.5)), abs=1e-12)


def test_defaults_and_needs():
    assert (
        {form: MaskedDPO(mask_form=form).beta for form in FORMS} == DEFAULT_BETA == {"prob_l1": 10.0, "logp_sum": 0.1}
    )
    assert MaskedDPO().mask_form == "prob_l1"
    for form in FORMS:
        assert MaskedDPO(mask_form=form).needs == {"reference", "token_logps"}
        assert MaskedDPO(mask_form=form, nll_weight=1.0).needs == {"reference", "token_logps", "likelihood"}


def test_a_batch_without_pairs_costs_nothing():
    judged_alone = PreferenceRecord(
        id="r", prompt=Prompt(text="p"), responses=(Response(text="a"),), verdict=Unary((True,))
    )
    policy = scores([POLICY[0]])
    output = MaskedDPO()(policy, scores([REFERENCE[0]]), Relations.from_records([judged_alone]))
    assert output.loss.item() == 0
    assert output.metrics == {}
    output.loss.backward()


def test_what_cannot_be_honoured_is_refused():
    with pytest.raises(PrefalignError, match="unknown mask_form 'prob_11'; did you mean 'prob_l1'"):
        MaskedDPO(mask_form="prob_11")
    with pytest.raises(PrefalignError, match="beta > 0"):
        MaskedDPO(beta=0.0)
    with pytest.raises(PrefalignError, match="nll_weight of at least 0"):
        MaskedDPO(nll_weight=-1.0)
    negative = [[1, -1, 0], [0, 1]]
    with pytest.raises(PrefalignError, match="prob_l1 takes token weights of at least 0; use logp_sum"):
        MaskedDPO()(scores(POLICY, negative), scores(REFERENCE, negative), relations(1))
    assert MaskedDPO(mask_form="logp_sum")(scores(POLICY, negative), scores(REFERENCE, negative), relations(1)).loss > 0
    for form in FORMS:
        with pytest.raises(CapabilityError, match="needs a reference"):
            MaskedDPO(mask_form=form)(scores(POLICY), None, relations(1))
        bare = ResponseScores(torch.zeros(2), torch.ones(2))
        with pytest.raises(CapabilityError, match="token log-probabilities"):
            MaskedDPO(mask_form=form)(bare, bare, relations(1))
