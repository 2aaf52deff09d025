"""CPO, SimPO, AlphaPO and ORPO. Printed numbers are TRL 1.9's on the vectors of the fixture `golden`."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.interfaces import CapabilityError, PrefalignError
from prefalign.objectives.reference_free import CPO, ORPO, AlphaPO, SimPO

CHOSEN, REJECTED = (-12.5, -30, -8.25, -21), (-14, -27.5, -16, -21)
EACH_CHOSEN = [x / n for x, n in zip(CHOSEN, (5, 12, 4, 9), strict=True)]
EACH_REJECTED = [x / n for x, n in zip(REJECTED, (6, 10, 8, 9), strict=True)]


def nll_of_sigmoid(x: float) -> float:
    return math.log1p(math.exp(-x))


def log_odds(x: float) -> float:
    return x - math.log(-math.expm1(x))


def test_cpo_is_dpo_on_log_probabilities(golden):
    policy, _, relations = golden
    output = CPO(beta=0.1, nll_weight=0.0)(policy, None, relations)
    by_hand = [nll_of_sigmoid(0.1 * (c - r)) for c, r in zip(CHOSEN, REJECTED, strict=True)]
    assert output.per_sample.tolist() == pytest.approx(by_hand, abs=1e-9)
    assert output.loss.item() == pytest.approx(0.6297405024, abs=6e-11)
    assert output.metrics["rewards/chosen"].item() == pytest.approx(-1.79375, abs=1e-12)


def test_cpo_adds_the_likelihood_of_the_chosen(tokens, relations):
    """Chosen −1 − 2 over 2 tokens: 1.5 on top of −log σ(0.1 · (−3 + 3)) = log 2."""
    policy = tokens([[-1.0, -2.0], [-3.0]])
    objective = CPO(beta=0.1)
    assert objective.needs == {"likelihood"}
    assert objective(policy, None, relations(1)).loss.item() == pytest.approx(math.log(2) + 1.5, abs=1e-12)


def test_cpo_ipo_works_per_token(golden):
    policy, _, relations = golden
    output = CPO(beta=0.1, loss_type="ipo", nll_weight=0.0)(policy, None, relations)
    expected = [(c - r - 5) ** 2 for c, r in zip(EACH_CHOSEN, EACH_REJECTED, strict=True)]
    assert output.per_sample.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("objective", "printed"),
    [
        (lambda: SimPO(beta=2.0, gamma=1.0), 1.3151961666),
        (lambda: SimPO(beta=0.1, gamma=0.5), 0.9737804789),
        (lambda: AlphaPO(beta=0.1, gamma=0.5, alpha=0.25), 0.9730378108),
    ],
)
def test_simpo_and_alphapo_have_their_golden_values(objective, printed, golden):
    policy, _, relations = golden
    objective = objective()
    assert objective.needs == frozenset()
    alpha, beta, gamma = objective.alpha, objective.losses[0].beta, objective.losses[0].gamma

    def reward(x: float) -> float:
        return x if alpha == 0 else (1 - math.exp(x) ** -alpha) / alpha

    by_hand = [
        nll_of_sigmoid(beta * (reward(c) - reward(r)) - gamma) for c, r in zip(EACH_CHOSEN, EACH_REJECTED, strict=True)
    ]
    output = objective(policy, None, relations)
    assert output.per_sample.tolist() == pytest.approx(by_hand, abs=1e-9)
    assert output.loss.item() == pytest.approx(printed, abs=6e-11)
    rewards = [beta * (reward(c) - reward(r)) for c, r in zip(EACH_CHOSEN, EACH_REJECTED, strict=True)]
    assert output.margins.tolist() == pytest.approx(rewards, abs=1e-12)


def test_half_precision_scores_are_subtracted_in_float32(scores, relations):
    """1004 − 3 is no bfloat16 (its neighbours are 1000 and 1004); β 0.1 makes it 100.1 in float32."""
    policy = scores(torch.tensor([1004.0, 3.0], dtype=torch.bfloat16))
    output = CPO(beta=0.1, nll_weight=0.0)(policy, None, relations(1))
    assert output.margins.dtype == torch.float32
    assert output.margins.item() == pytest.approx(100.1, abs=1e-4)


def test_simpo_adds_record_margins_to_its_target(golden, relations):
    policy, _, plain = golden
    fixed = SimPO(gamma=1.5)(policy, None, plain).loss
    record = SimPO(gamma=1.0)(policy, None, relations(4, margin=torch.full((4,), 0.5))).loss
    torch.testing.assert_close(fixed, record)


def test_orpo_has_its_golden_values(tokens, relations, golden):
    """The peer works in float32, so its prints −0.06947896 (λ log σ) and 0.00365789 hold to 3e-8 only."""
    policy, _, pairs = golden
    odds = [log_odds(c) - log_odds(r) for c, r in zip(EACH_CHOSEN, EACH_REJECTED, strict=True)]
    output = ORPO(beta=0.1, nll_weight=0.0)(policy, None, pairs)
    assert output.per_sample.tolist() == pytest.approx([0.1 * nll_of_sigmoid(x) for x in odds], abs=1e-9)
    assert output.loss.item() == pytest.approx(0.06947896, abs=3e-8)
    assert output.metrics["log_odds_chosen"].item() == pytest.approx(sum(odds) / 4, abs=1e-12)
    assert output.metrics["log_odds_chosen"].item() == pytest.approx(0.00365789, abs=3e-8)
    assert output.metrics["log_odds_ratio"].item() == pytest.approx(-10 * output.loss.item(), abs=1e-12)


def test_orpo_nll_covers_the_response_or_the_sequence(tokens, relations):
    """Chosen: −1 − 2 over 2 tokens, its prompt −6 over 3: 1.5 alone, 9/5 together."""
    prompts = {
        "prompt_logps": torch.tensor([-6.0, -9.0], dtype=torch.float64),
        "prompt_lengths": torch.tensor([3.0, 9.0], dtype=torch.float64),
    }
    policy = tokens([[-1.0, -2.0], [-3.0]], **prompts)
    for nll, expected in (("response", 1.5), ("sequence", 1.8)):
        objective = ORPO(nll=nll)
        assert objective.needs == {"likelihood"} | ({"prompt_logps"} if nll == "sequence" else set())
        output = objective(policy, None, relations(1))
        odds = nll_of_sigmoid(log_odds(-1.5) - log_odds(-3.0))
        assert output.metrics["nll_loss"].item() == pytest.approx(expected, abs=1e-12)
        assert output.loss.item() == pytest.approx(expected + 0.1 * odds, abs=1e-12)
    with pytest.raises(CapabilityError, match="prompts"):
        ORPO(nll="sequence")(tokens([[-1.0], [-2.0]]), None, relations(1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CPO(loss_type="hinge", label_smoothing=0.1), "label_smoothing"),
        (lambda: SimPO(gamma=-1.0), "gamma"),
        (lambda: SimPO(beta=0.0), "beta"),
        (lambda: AlphaPO(alpha=0.0), "core/simpo"),
        (lambda: ORPO(nll="sequence", nll_weight=0.0), "no effect"),
    ],
)
def test_refused_at_construction(make, message):
    with pytest.raises(PrefalignError, match=message):
        make()


def test_orpo_cannot_honour_margins(tokens, relations):
    with pytest.raises(PrefalignError, match="margins"):
        ORPO()(tokens([[-1.0], [-2.0]]), None, relations(1, margin=torch.ones(1)))
