"""Golden values of the fifteen pairwise losses, through the public objective.

With the vectors of the fixture `golden`, the log ratios are a = (½, −1, ¾, 3) and b = (−½, ½, −1, −1), so the
differences are Δ = (1, −1.5, 1.75, 4), and β = 0.1. The stated numbers were printed with ten digits by TRL's own code
(0.28.0 and 1.9.0); each loss is compared at 1e-9 with its formula in plain Python, and with the print to
the last digit.
"""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.objectives.dpo import DPO

A, B = (0.5, -1.0, 0.75, 3.0), (-0.5, 0.5, -1.0, -1.0)
LENGTHS_CHOSEN, LENGTHS_REJECTED = (5, 12, 4, 9), (6, 10, 8, 9)
POLICY = ((-12.5, -30, -8.25, -21), (-14, -27.5, -16, -21))
REFERENCE = ((-13, -29, -9, -24), (-13.5, -28, -15, -20))
BETA = 0.1


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def discopop(x: float, tau: float = 0.05) -> float:
    blend = sigmoid(x / tau)
    return (1 - blend) * -log_sigmoid(x) + blend * math.exp(-x)


def exo(x: float, epsilon: float = 1e-3) -> float:
    win, lose = sigmoid(x), sigmoid(-x)
    return win * (math.log(win) - math.log(1 - epsilon)) + lose * (math.log(lose) - math.log(epsilon))


def robust(x: float, epsilon: float = 0.1) -> float:
    return (-(1 - epsilon) * log_sigmoid(x) + epsilon * log_sigmoid(-x)) / (1 - 2 * epsilon)


DELTA = [a - b for a, b in zip(A, B, strict=True)]
PER_TOKEN = [a / m - b / n for a, b, m, n in zip(A, B, LENGTHS_CHOSEN, LENGTHS_REJECTED, strict=True)]
AOT = [
    m - n
    for m, n in zip(
        sorted(c - r for c, r in zip(*POLICY, strict=True)),
        sorted(c - r for c, r in zip(*REFERENCE, strict=True)),
        strict=True,
    )
]
AOT_UNPAIRED = [a - b for a, b in zip(sorted(A), sorted(B), strict=True)]

#: name: settings, losses of the four pairs by hand, mean as printed by the peer.
CASES = {
    "sigmoid": ({}, [-log_sigmoid(BETA * d) for d in DELTA], 0.6344598477),
    "hinge": ({}, [0.9, 1.15, 0.825, 0.6], 0.8687500000),
    "ipo": ({}, [(d - 5) ** 2 for d in PER_TOKEN], 23.0692828897),
    "nca_pair": (
        {},
        [
            -log_sigmoid(BETA * a) - 0.5 * log_sigmoid(-BETA * a) - 0.5 * log_sigmoid(-BETA * b)
            for a, b in zip(A, B, strict=True)
        ],
        1.3589247120,
    ),
    "robust": ({"label_smoothing": 0.1}, [robust(BETA * d) for d in DELTA], 0.6180535977),
    "bco_pair": (
        {},
        [-log_sigmoid(BETA * a) - log_sigmoid(-BETA * b) for a, b in zip(A, B, strict=True)],
        1.3248185774,
    ),
    "sppo_hard": ({}, [40.5, 66.25, 34.0625, 20.0], 40.2031250000),
    "aot": ({}, [-log_sigmoid(BETA * d) for d in AOT], 0.6298051996),
    "aot_unpaired": ({}, [-log_sigmoid(BETA * d) for d in AOT_UNPAIRED], 0.6306606709),
    "apo_zero": (
        {},
        [1 - sigmoid(BETA * a) + sigmoid(BETA * b) for a, b in zip(A, B, strict=True)],
        0.9673349208,
    ),
    "apo_down": (
        {},
        [sigmoid(BETA * a) + 1 - sigmoid(BETA * d) for a, d in zip(A, DELTA, strict=True)],
        0.9877065631,
    ),
    "negative_sigmoid": ({}, [-sigmoid(BETA * d) for d in DELTA], None),
    "discopop": ({}, [discopop(BETA * d) for d in DELTA], 0.7915674383),
    "sigmoid_norm": ({}, [-log_sigmoid(BETA * d) for d in PER_TOKEN], 0.6831686735),
    "exo_pair": ({"label_smoothing": 1e-3}, [exo(BETA * d) for d in DELTA], None),
}


@pytest.mark.parametrize("name", CASES)
def test_each_loss_has_its_golden_value(name, golden):
    settings, by_hand, printed = CASES[name]
    output = DPO(beta=BETA, loss_type=name, **settings)(*golden)
    assert output.per_sample.tolist() == pytest.approx(by_hand, abs=1e-9)
    assert output.loss.item() == pytest.approx(sum(by_hand) / 4, abs=1e-9)
    if printed is not None:
        assert output.loss.item() == pytest.approx(printed, abs=6e-11)


def test_exo_is_exact_and_the_peers_print_differs_by_its_float32_logarithms(golden):
    """TRL takes log ε and log(1 − ε) in float32; with those two numbers its print 2.5438442595 is met, 4.5e-8 off."""
    exact = DPO(beta=BETA, loss_type="exo_pair", label_smoothing=1e-3)(*golden).loss.item()
    assert exact == pytest.approx(2.5438442146, abs=6e-11)
    epsilon = torch.tensor(1e-3)
    log_win, log_lose = torch.log1p(-epsilon).item(), torch.log(epsilon).item()
    theirs = [
        sigmoid(BETA * d) * (log_sigmoid(BETA * d) - log_win) + sigmoid(-BETA * d) * (log_sigmoid(-BETA * d) - log_lose)
        for d in DELTA
    ]
    assert sum(theirs) / 4 == pytest.approx(2.5438442595, abs=6e-11)


@pytest.mark.parametrize(
    ("settings", "printed"),
    [
        ({"f_divergence_type": "forward_kl"}, 0.6506085331),
        ({"f_divergence_type": "js_divergence"}, 0.6710643728),
        ({"f_divergence_type": "alpha_divergence"}, 0.6475381828),
        ({"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.0}, 0.6506085331),
        ({"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 1.0}, 0.6344598477),
        ({"label_smoothing": 0.1}, 0.6475848477),
    ],
)
def test_divergences_and_conservative_dpo(settings, printed, golden):
    """TRL 1.9 for the divergences (α 0 is forward KL, α 1 reverse KL), TRL 0.28 for the smoothing."""
    assert DPO(beta=BETA, **settings)(*golden).loss.item() == pytest.approx(printed, abs=6e-11)


def test_sft_is_the_mean_over_the_tokens_of_the_chosen_responses(tokens, relations):
    """Chosen rows hold 1 + 3 tokens: −(−1 − 0.5 − 0.25 − 2) / 4 = 0.9375; the rejected rows do not count."""
    policy = tokens([[-1.0], [-0.5, -0.25, -2.0], [-7.0], [-9.0]])
    output = DPO(loss_type="sft")(policy, None, relations(2))
    assert output.loss.item() == pytest.approx(0.9375, abs=1e-12)


def test_mpo_is_the_weighted_sum_of_three_losses(golden, tokens):
    """0.8 · 0.6344598477 + 0.2 · 1.3248185774 + 1.0 · sft, where sft = (12.5 + 30 + 8.25 + 21) / 30 tokens."""
    policy, reference, relations = golden
    rows = [[logp / n] * int(n) for logp, n in zip(policy.logps.tolist(), policy.lengths.tolist(), strict=True)]
    mpo = DPO(beta=BETA, loss_type=["sigmoid", "bco_pair", "sft"], loss_weights=[0.8, 0.2, 1.0])
    output = mpo(tokens(rows), reference, relations)
    expected = 0.8 * 0.6344598477 + 0.2 * 1.3248185774 + 71.75 / 30
    assert output.loss.item() == pytest.approx(expected, abs=1e-9)
    assert output.metrics["loss/bco_pair"].item() == pytest.approx(1.3248185774, abs=1e-9)


def test_diffusion_dpo_on_half_squared_errors(scores, relations):
    """β 5000 with the ½ kept in the score: losses 0.0067153 and 5.0067253 for errors given as means.

    Pair 1: Δ = −½[(0.02 − 0.03) − (0.021 − 0.029)] = 0.001, −log σ(5) = 0.00671535; pair 2: −log σ(−5) = 5.00671535.
    """
    policy = scores([-0.01, -0.025, -0.015, -0.02], units="mse/2")
    reference = scores([-0.0105, -0.0245, -0.0145, -0.0205], units="mse/2")
    output = DPO(beta=5000)(policy, reference, relations(2))
    assert output.per_sample.tolist() == pytest.approx([-log_sigmoid(5), -log_sigmoid(-5)], abs=1e-9)
    assert output.per_sample[0].item() == pytest.approx(0.0067153, abs=5e-8)
