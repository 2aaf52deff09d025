"""Properties that every objective of policies must have, each tested on all of them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.interfaces import Relations, ResponseScores
from prefalign.objectives.dpo import DPO
from prefalign.objectives.listwise import PlackettLuce
from prefalign.objectives.reference_free import CPO, ORPO, AlphaPO, SimPO
from prefalign.objectives.repo import REPO
from prefalign.objectives.unary import BCO, KTO

QUICK = settings(deadline=None, max_examples=20, derandomize=True)

#: Every pairwise loss, and every option that changes the numbers.
PAIRWISE = {
    **{
        name: lambda name=name: DPO(beta=0.3, loss_type=name)
        for name in ("sigmoid", "hinge", "ipo", "nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down", "discopop")
    },
    "negative_sigmoid": lambda: DPO(beta=0.3, loss_type="negative_sigmoid"),
    "sigmoid_norm": lambda: DPO(beta=0.3, loss_type="sigmoid_norm"),
    "robust": lambda: DPO(beta=0.3, loss_type="robust", label_smoothing=0.1),
    "exo_pair": lambda: DPO(beta=0.3, loss_type="exo_pair", label_smoothing=1e-3),
    "cpl": lambda: DPO(beta=0.3, loss_type="cpl"),
    "cpl_kl": lambda: DPO(beta=0.3, loss_type="cpl_kl", contrastive_bias=0.7),
    "conservative": lambda: DPO(beta=0.3, label_smoothing=0.1),
    "aot": lambda: DPO(beta=0.3, loss_type="aot"),
    "aot_unpaired": lambda: DPO(beta=0.3, loss_type="aot_unpaired"),
    "forward_kl": lambda: DPO(beta=0.3, f_divergence_type="forward_kl"),
    "js_divergence": lambda: DPO(beta=0.3, f_divergence_type="js_divergence"),
    "alpha_divergence": lambda: DPO(beta=0.3, f_divergence_type="alpha_divergence"),
    "length_alpha": lambda: DPO(beta=0.3, length_alpha=0.1),
    "repo": lambda: REPO(beta=0.3),
    "cpo": lambda: CPO(beta=0.3, nll_weight=0.0),
    "cpo_ipo": lambda: CPO(beta=0.3, loss_type="ipo", nll_weight=0.0),
    "simpo": lambda: SimPO(),
    "alphapo": lambda: AlphaPO(),
    "orpo": lambda: ORPO(nll_weight=0.0),
    "plackett_luce": lambda: PlackettLuce(beta=0.3),
}
UNARY = {
    "kto": lambda: KTO(beta=0.3),
    "apo_zero_unpaired": lambda: KTO(beta=0.3, loss_type="apo_zero_unpaired"),
    "bco": lambda: BCO(beta=0.3).eval(),
}
#: All but those with a target (IPO, SPPO, EXO, smoothed labels), those that also pull the chosen response down (NCA,
#: APO-down), and DiscoPOP, whose blend has a bump below 0.
MONOTONE = sorted(
    PAIRWISE.keys()
    - {"ipo", "cpo_ipo", "sppo_hard", "exo_pair", "conservative", "robust", "nca_pair", "apo_down", "discopop"}
)


def batch(policy: torch.Tensor, reference: torch.Tensor | None = None, seed: int = 0) -> tuple:
    """Policy, reference and relations of 2B + 1 rows: B pairs and one mismatched row."""
    pairs = (len(policy) - 1) // 2
    lengths = torch.randint(1, 9, (len(policy),), generator=torch.Generator().manual_seed(seed)).double()
    nan = torch.tensor([math.nan], dtype=torch.float64)
    relations = Relations(
        record=torch.tensor([*range(pairs), *range(pairs), -1]),
        chosen=torch.arange(pairs),
        rejected=torch.arange(pairs, 2 * pairs),
        probability=torch.ones(pairs),
        tie=torch.zeros(pairs, dtype=torch.bool),
        margin=torch.zeros(pairs),
        pair_weight=torch.ones(pairs),
        label=torch.cat([torch.ones(pairs), torch.zeros(pairs), nan]),
        rank=torch.full((2 * pairs + 1,), -1),
        reward=torch.full((2 * pairs + 1,), math.nan),
        row_weight=torch.ones(2 * pairs + 1),
        ids=[str(i) for i in range(pairs)],
        annotators=[None] * pairs,
        mismatched=torch.tensor([2 * pairs]),
    )
    held = torch.zeros_like(policy).detach() if reference is None else reference
    return ResponseScores(policy, lengths), ResponseScores(held, lengths), relations


def below_zero(*values: float) -> torch.Tensor:
    return -torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("name", {**PAIRWISE, **UNARY})
def test_gradients_are_exact(name):
    objective = {**PAIRWISE, **UNARY}[name]()
    # RE-PO holds its posterior constant, KTO its baseline: their gradients are not those of the loss.
    if name == "repo":
        objective.reliability.fill_(1.0)
    policy = below_zero(1.3, 2.1, 0.7, 3.3, 0.4, 2.8, 9.0).requires_grad_()
    reference = below_zero(1.0, 2.5, 1.7, 2.3, 1.4, 2.2, 2.0)
    assert torch.autograd.gradcheck(lambda p: objective(*batch(p, reference)).loss, policy)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", {**PAIRWISE, **UNARY})
def test_extreme_scores_have_finite_losses_and_gradients(name, dtype):
    policy = torch.tensor([-1e4, 0.0, -1e4, -1e-9, -1e4, 0.0, -5.0], dtype=dtype, requires_grad=True)
    reference = torch.tensor([0.0, -1e4, -1e4, -1e4, 0.0, -1e4, -5.0], dtype=dtype)
    output = {**PAIRWISE, **UNARY}[name]()(*batch(policy, reference))
    output.loss.backward()
    assert output.loss.isfinite()
    assert policy.grad.isfinite().all()
    assert all(value.isfinite() for value in output.metrics.values())


@pytest.mark.parametrize("name", MONOTONE)
@given(step=st.floats(1e-3, 2.0))
@QUICK
def test_a_better_ranked_pair_costs_less(name, step):
    """Raising one chosen score, all else equal, lowers the loss."""
    objective = PAIRWISE[name]().eval()
    before = below_zero(3.0, 3.5, 2.0, 2.5, 0.0)
    after = before + torch.tensor([step, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    reference = below_zero(3.2, 3.2, 3.2, 3.2, 0.0)
    assert objective(*batch(after, reference)).loss < objective(*batch(before, reference)).loss


@pytest.mark.parametrize("name", {**PAIRWISE, **UNARY})
@given(order=st.permutations(range(4)))
@QUICK
def test_the_order_of_the_pairs_does_not_matter(name, order):
    objective = {**PAIRWISE, **UNARY}[name]().eval()
    policy, reference = below_zero(1, 2, 3, 4, 5, 1.5, 2.5, 0.5, 9), below_zero(2, 2.5, 1, 3, 4, 2.5, 2, 1.5, 8)
    first = batch(policy, reference)
    index = torch.tensor(order)
    shuffled = [
        ResponseScores(s.logps[i], s.lengths[i])
        for s, i in zip(first[:2], [torch.cat([index, index + 4, torch.tensor([8])])] * 2, strict=True)
    ]
    torch.testing.assert_close(objective(*shuffled, first[2]).loss, objective(*first).loss, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(
    "name", ["sigmoid", "hinge", "robust", "exo_pair", "discopop", "conservative", "plackett_luce"]
)
@given(shift=st.floats(-50, 50))
@QUICK
def test_a_shift_common_to_both_responses_changes_nothing(name, shift):
    """The prompt's normaliser cancels in every loss of the difference."""
    objective = PAIRWISE[name]()
    policy, reference = below_zero(1, 2, 3, 4, 0), below_zero(2, 1, 4, 4, 0)
    moved = objective(*batch(policy + shift, reference)).loss
    torch.testing.assert_close(moved, objective(*batch(policy, reference)).loss, atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    "name", [n for n in PAIRWISE if n not in ("cpo", "cpo_ipo", "cpl", "simpo", "alphapo", "orpo")]
)
@given(shift=st.floats(-50, 50))
@QUICK
def test_policy_and_reference_may_share_a_shift(name, shift):
    """Only ratios count, so both models may be off by a constant of each row."""
    objective = PAIRWISE[name]().eval()
    policy, reference = below_zero(1, 2, 3, 4, 0), below_zero(2, 1, 4, 4, 0)
    bump = torch.tensor([shift, shift, 0.0, 0.0, 0.0], dtype=torch.float64)
    if name == "aot":  # sorts both models' differences over the batch, so a constant must be common to all pairs
        bump = torch.tensor([shift, shift, shift, shift, shift], dtype=torch.float64)
    moved = objective(*batch(policy + bump, reference + bump)).loss
    torch.testing.assert_close(moved, objective(*batch(policy, reference)).loss, atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", ["sigmoid", "forward_kl", "js_divergence", "alpha_divergence", "aot", "aot_unpaired"])
def test_the_loss_is_log_two_where_policy_and_reference_agree(name):
    logps = below_zero(1, 2, 3, 4, 5)
    assert PAIRWISE[name]()(*batch(logps, logps)).loss.item() == pytest.approx(math.log(2), abs=1e-12)


def test_values_where_policy_and_reference_agree():
    """Robust log 2, hinge 1, −σ −½, IPO (1/2β)², NCA and BCO 2 log 2, SPPO 2(1/2β)², APO 1, DiscoPOP ½ log 2 + ½.

    β = 0.3.
    """
    logps = below_zero(1, 2, 3, 4, 5)
    found = {name: PAIRWISE[name]()(*batch(logps, logps)).loss.item() for name in PAIRWISE}
    expected = {
        "robust": math.log(2),
        "hinge": 1.0,
        "ipo": 1 / 0.36,
        "nca_pair": 2 * math.log(2),
        "bco_pair": 2 * math.log(2),
        "sppo_hard": 2 / 0.36,
        "apo_zero": 1.0,
        "apo_down": 1.0,
        "negative_sigmoid": -0.5,
        "discopop": 0.5 * math.log(2) + 0.5,
        "conservative": math.log(2),
        "plackett_luce": math.log(2),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@given(difference=st.floats(-30, 30))
@QUICK
def test_at_smoothing_one_half_the_loss_is_symmetric(difference):
    objective = DPO(beta=0.3, label_smoothing=0.5)
    forward = objective(*batch(torch.tensor([difference, 0.0, 0.0], dtype=torch.float64))).loss
    backward = objective(*batch(torch.tensor([0.0, difference, 0.0], dtype=torch.float64))).loss
    torch.testing.assert_close(forward, backward, atol=1e-12, rtol=0)
    assert forward >= math.log(2) - 1e-12


@pytest.mark.parametrize("name", ["aot", "aot_unpaired"])
@given(values=st.lists(st.floats(-20, 20), min_size=4, max_size=4))
@QUICK
def test_aot_of_one_pair_is_dpo(name, values):
    policy = torch.tensor([*values[:2], 0.0], dtype=torch.float64)
    reference = torch.tensor([*values[2:], 0.0], dtype=torch.float64)
    one = PAIRWISE[name]()(*batch(policy, reference)).loss
    torch.testing.assert_close(one, PAIRWISE["sigmoid"]()(*batch(policy, reference)).loss, atol=1e-12, rtol=0)


@given(first=st.floats(-20, 20), second=st.floats(-20, 20))
@QUICK
def test_plackett_luce_of_plain_pairs_is_dpo(first, second):
    rows = torch.tensor([first, second, 0.0], dtype=torch.float64)
    torch.testing.assert_close(
        PlackettLuce(beta=0.3)(*batch(rows)).loss, PAIRWISE["sigmoid"]()(*batch(rows)).loss, atol=1e-12, rtol=0
    )


def test_a_pair_judged_both_ways_equally_is_best_left_undecided():
    """p = ½ has its minimum at Δ = 0 for the logistic losses (ordinal soft labels)."""
    rows = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    policy, reference, relations = batch(rows)
    relations.probability = torch.tensor([0.5])
    (slope,) = torch.autograd.grad(DPO(beta=0.3)(policy, reference, relations).loss, rows)
    assert slope.tolist() == [0.0, 0.0, 0.0]
