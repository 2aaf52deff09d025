"""Losses and gradients against TRL's own code (written for 1.16), called unbound on stand-ins for its trainers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from prefalign.interfaces import Relations, ResponseScores
from prefalign.objectives.dpo import DPO
from prefalign.objectives.reference_free import CPO, ORPO, AlphaPO, SimPO
from prefalign.objectives.reward_modelling import BradleyTerry
from prefalign.objectives.unary import KTO

pytestmark = pytest.mark.oracle

PAIRS, WIDTH, PROMPT = 5, 7, 2
COMMON = {"label_smoothing": 0.0, "discopop_tau": 0.05, "ld_alpha": None, "use_weighting": False}


class Batch:
    """Random token scores of 2·PAIRS rows behind a prompt of PROMPT tokens, as both sides want them."""

    def __init__(self, seed: int, dtype: torch.dtype = torch.float64) -> None:
        generator = torch.Generator().manual_seed(seed)

        def draw(scale: float) -> torch.Tensor:
            return -scale * torch.rand(2 * PAIRS, WIDTH + PROMPT, generator=generator, dtype=dtype)

        lengths = torch.randint(1, WIDTH + 1, (2 * PAIRS,), generator=generator)
        place = torch.arange(WIDTH + PROMPT)
        self.mask = (place >= PROMPT) & (place < PROMPT + lengths.unsqueeze(1))
        self.policy = (draw(2.0) * self.mask).requires_grad_()
        self.reference = draw(2.0) * self.mask
        self.collision = draw(1.0)

    def ours(self, logps: torch.Tensor) -> ResponseScores:
        weights = self.mask.to(logps.dtype)
        return ResponseScores(
            logps=logps.sum(-1),
            lengths=weights.sum(-1),
            token_logps=logps,
            mask=self.mask,
            weights=weights,
            collision=self.collision,
        )


class Model(torch.nn.Module):
    """Returns given log-probabilities for TRL's fused head."""

    is_gradient_checkpointing = False

    def __init__(self, batch: Batch, logps: torch.Tensor) -> None:
        super().__init__()
        zeros = torch.zeros_like(logps)
        self.outputs = SimpleNamespace(
            log_probs=logps, log_sum_sq_probs=batch.collision, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool()
        )

    def forward(self, **_: object) -> SimpleNamespace:
        return self.outputs


def trainer(batch: Batch, **settings: object) -> SimpleNamespace:
    """What TRL's methods read from themselves."""
    from collections import defaultdict

    accelerator = SimpleNamespace(device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x)
    return SimpleNamespace(
        model=Model(batch, batch.policy),
        ref_model=Model(batch, batch.reference),
        accelerator=accelerator,
        precompute_ref_logps=False,
        aux_loss_enabled=False,
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
        args=SimpleNamespace(
            discopop_tau=settings.get("discopop_tau"),
            gradient_checkpointing_kwargs=None,
            center_rewards_coefficient=settings.get("center_rewards_coefficient"),
        ),
        **settings,
    )


def relations() -> Relations:
    from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Response

    responses = (Response(text="a"), Response(text="b"))
    records = [
        PreferenceRecord(id=str(i), prompt=Prompt(text="q"), responses=responses, verdict=Pair()) for i in range(PAIRS)
    ]
    found = Relations.from_records(records)
    # TRL lays all chosen rows before all rejected ones.
    found.chosen, found.rejected = torch.arange(PAIRS), torch.arange(PAIRS, 2 * PAIRS)
    found.label = torch.cat([torch.ones(PAIRS), torch.zeros(PAIRS)])
    return found


def trl_dpo(batch: Batch, loss_types: list[str], weights: list[float], beta: float, **settings: object):
    from trl import DPOTrainer

    stub = trainer(
        batch,
        **{**COMMON, "f_divergence_type": "reverse_kl", "f_alpha_divergence_coef": 0.5, **settings},
        loss_types=loss_types,
        loss_weights=weights,
        beta=beta,
    )
    completion = torch.cat([torch.zeros(2 * PAIRS, 1, dtype=torch.bool), batch.mask], dim=1)
    inputs = {
        "completion_mask": completion.long(),
        "input_ids": torch.zeros_like(completion, dtype=torch.long),
        "attention_mask": torch.ones_like(completion, dtype=torch.long),
    }
    loss = DPOTrainer._compute_loss(stub, stub.model, inputs, return_outputs=False)
    return loss, {name: values[-1] for name, values in stub._metrics["train"].items()}


DPO_CASES = {
    **{
        name: {}
        for name in (
            *("sigmoid", "hinge", "ipo", "nca_pair", "bco_pair", "sppo_hard", "aot", "aot_unpaired"),
            *("apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"),
        )
    },
    "robust": {"label_smoothing": 0.1},
    "exo_pair": {"label_smoothing": 1e-3},
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", DPO_CASES)
def test_each_pairwise_loss(name, seed):
    batch, settings = Batch(seed), DPO_CASES[name]
    theirs, metrics = trl_dpo(batch, [name], [1.0], 0.1, **settings)
    beta = {} if name == "sft" else {"beta": 0.1}
    output = DPO(loss_type=name, **beta, **settings)(batch.ours(batch.policy), batch.ours(batch.reference), relations())
    # TRL takes EXO's logarithms of ε in float32.
    tolerance = 1e-6 if name == "exo_pair" else 1e-12
    torch.testing.assert_close(output.loss, theirs, atol=tolerance, rtol=0)
    ours_slope, their_slope = (torch.autograd.grad(loss, batch.policy)[0] for loss in (output.loss, theirs))
    torch.testing.assert_close(ours_slope * batch.mask, their_slope * batch.mask, atol=tolerance, rtol=0)
    assert {k: v.item() for k, v in output.metrics.items()} == pytest.approx(
        {k: metrics[k] for k in output.metrics}, abs=1e-7
    )


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"f_divergence_type": "forward_kl"}, {"f_divergence_type": "forward_kl"}),
        ({"f_divergence_type": "js_divergence"}, {"f_divergence_type": "js_divergence"}),
        ({"ld_alpha": 0.3}, {"ld_alpha": 0.3}),
        ({"use_weighting": True}, {"use_weighting": True}),
    ],
)
@pytest.mark.parametrize("name", ["sigmoid", "ipo"])
def test_what_surrounds_the_loss(name, theirs, ours):
    batch = Batch(3)
    expected, _ = trl_dpo(batch, [name], [1.0], 0.1, **theirs)
    output = DPO(beta=0.1, loss_type=name, **ours)(batch.ours(batch.policy), batch.ours(batch.reference), relations())
    torch.testing.assert_close(output.loss, expected, atol=1e-12, rtol=0)
    slopes = [torch.autograd.grad(loss, batch.policy)[0] * batch.mask for loss in (output.loss, expected)]
    torch.testing.assert_close(*slopes, atol=1e-12, rtol=0)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0])
def test_alpha_divergence_in_float32(alpha):
    """TRL knows this one in float32 and below only."""
    batch = Batch(4, torch.float32)
    settings = {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": alpha}
    expected, _ = trl_dpo(batch, ["sigmoid"], [1.0], 0.1, **settings)
    output = DPO(beta=0.1, **settings)(batch.ours(batch.policy), batch.ours(batch.reference), relations())
    torch.testing.assert_close(output.loss, expected, atol=1e-5, rtol=1e-5)


def test_mpo_weights():
    batch = Batch(5)
    names, weights = ["sigmoid", "bco_pair", "sft"], [0.8, 0.2, 1.0]
    expected, _ = trl_dpo(batch, names, weights, 0.1)
    output = DPO(beta=0.1, loss_type=names, loss_weights=weights)(
        batch.ours(batch.policy), batch.ours(batch.reference), relations()
    )
    torch.testing.assert_close(output.loss, expected, atol=1e-12, rtol=0)


CPO_CASES = [
    (lambda: CPO(beta=0.3, nll_weight=0.0), {"loss_type": "sigmoid", "beta": 0.3}),
    (lambda: CPO(beta=0.3, label_smoothing=0.1, nll_weight=0.0), {"beta": 0.3, "label_smoothing": 0.1}),
    (lambda: CPO(beta=0.3, loss_type="hinge", nll_weight=0.0), {"loss_type": "hinge", "beta": 0.3}),
    (lambda: CPO(beta=0.3, loss_type="ipo", nll_weight=0.0), {"loss_type": "ipo", "beta": 0.3}),
    (lambda: SimPO(2.0, 1.0), {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0}),
    (
        lambda: SimPO(2.0, 1.0, label_smoothing=0.1),
        {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0, "label_smoothing": 0.1},
    ),
    (lambda: AlphaPO(2.0, 1.0, 0.25), {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0, "alpha": 0.25}),
]


@pytest.mark.parametrize(("make", "settings"), CPO_CASES)
def test_cpo_simpo_and_alphapo(make, settings):
    from trl.experimental.cpo import CPOTrainer

    batch, objective = Batch(6), make()
    stub = trainer(batch, **{"loss_type": "sigmoid", "alpha": 0.0, "label_smoothing": 0.0, **settings})
    scores = batch.ours(batch.policy)
    logps = scores.logps / scores.lengths if stub.loss_type in ("ipo", "simpo") else scores.logps
    losses, chosen, rejected = CPOTrainer.cpo_loss(stub, *logps.chunk(2))
    output = objective(scores, None, relations())
    torch.testing.assert_close(output.per_sample, losses.detach(), atol=1e-12, rtol=0)
    slopes = [torch.autograd.grad(x, batch.policy, retain_graph=True)[0] for x in (output.loss, losses.mean())]
    torch.testing.assert_close(*slopes, atol=1e-12, rtol=0)
    if stub.loss_type == "simpo":
        torch.testing.assert_close(output.margins, chosen - rejected, atol=1e-12, rtol=0)


def test_orpo_penalty():
    """TRL computes it in float32 and returns the term that is to be maximised."""
    from trl.experimental.orpo import ORPOTrainer

    batch = Batch(7)
    scores = batch.ours(batch.policy)
    losses, _, _, ratio, odds = ORPOTrainer.odds_ratio_loss(
        trainer(batch, beta=0.1), *(scores.logps / scores.lengths).chunk(2)
    )
    output = ORPO(beta=0.1, nll_weight=0.0)(scores, None, relations())
    torch.testing.assert_close(output.per_sample, -losses.detach().double(), atol=1e-7, rtol=0)
    assert output.metrics["log_odds_ratio"].item() == pytest.approx(ratio.item(), abs=1e-6)
    assert output.metrics["log_odds_chosen"].item() == pytest.approx(odds.item(), abs=1e-6)


@pytest.mark.parametrize("loss_type", ["kto", "apo_zero_unpaired"])
def test_kto(loss_type):
    from trl import KTOTrainer

    batch = Batch(8)
    spread = torch.linspace(-1.0, 2.0, 2 * PAIRS, dtype=torch.float64)
    stub = trainer(
        batch,
        loss_type=loss_type,
        beta=0.1,
        calculate_KL=loss_type == "kto",
        desirable_weight=1.5,
        undesirable_weight=0.75,
    )
    stub._compute_kl_logps = lambda model, _: spread if model is stub.model else torch.zeros_like(spread)
    completion = torch.cat([torch.zeros(2 * PAIRS, 1, dtype=torch.bool), batch.mask], dim=1)
    labels = torch.tensor([True, False] * PAIRS)
    inputs = {
        "completion_mask": completion.long(),
        "input_ids": torch.zeros_like(completion, dtype=torch.long),
        "attention_mask": torch.ones_like(completion, dtype=torch.long),
        "label": labels,
    }
    expected = KTOTrainer._compute_loss(stub, stub.model, inputs, return_outputs=False)
    rows = relations()
    rows.label = torch.cat([labels.float(), torch.full((2 * PAIRS,), float("nan"))])
    rows.row_weight, rows.mismatched = torch.ones(4 * PAIRS), torch.arange(2 * PAIRS, 4 * PAIRS)
    ours = batch.ours(batch.policy)
    policy = ResponseScores(torch.cat([ours.logps, spread]), torch.ones(4 * PAIRS))
    held = batch.ours(batch.reference).logps
    reference = ResponseScores(torch.cat([held, torch.zeros_like(spread)]), torch.ones(4 * PAIRS))
    output = KTO(0.1, 1.5, 0.75, loss_type)(policy, reference, rows)
    torch.testing.assert_close(output.loss, expected, atol=1e-12, rtol=0)
    slopes = [torch.autograd.grad(loss, batch.policy)[0] * batch.mask for loss in (output.loss, expected)]
    torch.testing.assert_close(*slopes, atol=1e-12, rtol=0)
    theirs = {name: values[-1] for name, values in stub._metrics["train"].items()}
    assert {k: v.item() for k, v in output.metrics.items()} == pytest.approx(
        {k: theirs.get(k, 0.0) for k in output.metrics}, abs=1e-9
    )


@pytest.mark.parametrize("centre", [None, 0.01])
@pytest.mark.parametrize("margin", [False, True])
def test_reward_trainer(centre, margin):
    from trl import RewardTrainer

    from prefalign.interfaces import RewardOutput

    rewards = torch.randn(2 * PAIRS, 1, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    stub = trainer(Batch(0), center_rewards_coefficient=centre)
    margins = torch.linspace(0, 1, PAIRS)
    inputs = {"attention_mask": torch.ones(2 * PAIRS, 3), **({"margin": margins} if margin else {})}

    def model(**_: object) -> SimpleNamespace:
        return SimpleNamespace(logits=rewards)

    expected = RewardTrainer.compute_loss(stub, model, inputs)
    rows = relations()
    rows.margin = margins if margin else torch.zeros(PAIRS)
    output = BradleyTerry(center_rewards_coefficient=centre or 0.0)(
        RewardOutput(rewards, torch.ones(2 * PAIRS, dtype=torch.bool)), rows
    )
    torch.testing.assert_close(output.loss, expected, atol=1e-12, rtol=0)
    theirs = {name: values[-1] for name, values in stub._metrics["train"].items() if name != "num_tokens"}
    assert {k: v.item() for k, v in output.metrics.items()} == pytest.approx(theirs, abs=1e-6)
