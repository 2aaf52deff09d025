"""Losses and gradients through the language-model head against Liger's chunked losses (written for 0.8.5)."""

from __future__ import annotations

import pytest
import torch

from prefalign.interfaces import ResponseScores
from prefalign.objectives.dpo import DPO
from prefalign.objectives.reference_free import CPO, ORPO, SimPO
from prefalign.objectives.unary import KTO

pytestmark = pytest.mark.oracle
PAIRS, WIDTH, HIDDEN, VOCABULARY, IGNORED = 3, 6, 8, 17, -100


class Head:
    """Hidden states of 2·PAIRS rows, the head's weight, the targets, and the same of a reference."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)

        def draw(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator)

        self.hidden, self.weight = draw(2 * PAIRS, WIDTH, HIDDEN), draw(VOCABULARY, HIDDEN)
        self.ref_hidden, self.ref_weight = draw(2 * PAIRS, WIDTH, HIDDEN), draw(VOCABULARY, HIDDEN)
        self.target = torch.randint(0, VOCABULARY, (2 * PAIRS, WIDTH), generator=generator)
        lengths = torch.randint(1, WIDTH + 1, (2 * PAIRS, 1), generator=generator)
        self.target[torch.arange(WIDTH) >= lengths] = IGNORED

    def scores(self, hidden: torch.Tensor, weight: torch.Tensor) -> ResponseScores:
        mask = self.target != IGNORED
        every = (hidden @ weight.T).log_softmax(-1)
        logps = every.gather(-1, self.target.clamp(min=0).unsqueeze(-1)).squeeze(-1) * mask
        return ResponseScores(logps.sum(-1), mask.sum(-1).float(), token_logps=logps, mask=mask, weights=mask.float())


@pytest.fixture
def head() -> Head:
    return Head()


@pytest.fixture(scope="module")
def liger():
    """Liger's losses, imported when a test needs them and not when tests are collected."""
    return pytest.importorskip("liger_kernel.chunked_loss", reason="liger-kernel is not installed")


def compare(head, theirs, objective, relations, mismatched=None):
    """Loss, gradient of the hidden states and gradient of the head of both sides."""
    found = []
    for side in ("theirs", "ours"):
        hidden, weight = head.hidden.clone().requires_grad_(), head.weight.clone().requires_grad_()
        if side == "theirs":
            loss = theirs(hidden, weight)
        else:
            policy, reference = head.scores(hidden, weight), head.scores(head.ref_hidden, head.ref_weight).detach()
            if mismatched is not None:
                policy, reference = mismatched(policy, reference)
            loss = objective(policy, reference, relations).loss
        found.append((loss.detach(), *torch.autograd.grad(loss, (hidden, weight))))
    for their, our in zip(*found, strict=True):
        torch.testing.assert_close(our, their, atol=2e-5, rtol=2e-5)


DPO_CASES = {
    **{
        name: {}
        for name in ("sigmoid", "hinge", "nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down", "discopop")
    },
    "exo_pair": {"label_smoothing": 1e-3},
    "robust": {"label_smoothing": 0.1},
}


@pytest.mark.parametrize("name", DPO_CASES)
def test_dpo(name, head, relations, liger):
    settings = DPO_CASES[name]
    fused = liger.LigerFusedLinearDPOLoss(beta=0.1, compiled=False, loss_type=name, **settings)

    def theirs(hidden, weight):
        return fused(weight, hidden, head.target, ref_input=head.ref_hidden, ref_weight=head.ref_weight)[0]

    compare(head, theirs, DPO(beta=0.1, loss_type=name, **settings), relations(PAIRS))


def test_dpo_with_likelihood(head, relations, liger):
    """Liger adds the token-mean likelihood of the chosen: our `nll_weight`."""
    fused = liger.LigerFusedLinearDPOLoss(beta=0.1, compiled=False, compute_nll_loss=True)

    def theirs(hidden, weight):
        return fused(weight, hidden, head.target, ref_input=head.ref_hidden, ref_weight=head.ref_weight)[0]

    compare(head, theirs, DPO(beta=0.1, nll_weight=1.0), relations(PAIRS))


@pytest.mark.parametrize(
    ("make", "ours"),
    [
        (
            lambda liger: liger.LigerFusedLinearCPOLoss(beta=0.3, alpha=0.5, label_smoothing=0.1, compiled=False),
            lambda: CPO(beta=0.3, label_smoothing=0.1, nll_weight=0.5),
        ),
        (
            lambda liger: liger.LigerFusedLinearSimPOLoss(beta=2.0, gamma=0.5, compute_nll_loss=False, compiled=False),
            lambda: SimPO(beta=2.0, gamma=0.5),
        ),
        (lambda liger: liger.LigerFusedLinearORPOLoss(beta=0.1, compiled=False), lambda: ORPO(beta=0.1)),
    ],
)
def test_reference_free(make, ours, head, relations, liger):
    fused = make(liger)

    def theirs(hidden, weight):
        return fused(weight, hidden, head.target)[0]

    compare(head, theirs, ours(), relations(PAIRS))


def test_kto(head, relations, liger):
    """Liger takes the baseline ready-made; ours comes from one mismatched row with the ratio 0.7."""
    fused = liger.LigerFusedLinearKTOLoss(beta=0.1, compiled=False, use_ref_model=True)
    labels = torch.tensor([True] * PAIRS + [False] * PAIRS)

    def theirs(hidden, weight):
        return fused(
            _input=hidden,
            lin_weight=weight,
            target=head.target,
            preference_labels=labels,
            ref_input=head.ref_hidden,
            ref_weight=head.ref_weight,
            kl=torch.tensor(0.7),
        )[0]

    def mismatched(policy, reference):
        lengths = torch.ones(2 * PAIRS + 1)
        return (
            ResponseScores(torch.cat([policy.logps, torch.tensor([-1.0])]), lengths),
            ResponseScores(torch.cat([reference.logps, torch.tensor([-1.7])]), lengths),
        )

    compare(head, theirs, KTO(beta=0.1), relations(PAIRS, mismatched=1), mismatched=mismatched)
