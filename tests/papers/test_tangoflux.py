"""TangoFlux (arXiv 2412.21037): CRPO is Diffusion-DPO plus the winner's denoising error."""

import math

import pytest
import torch

from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Relations, Response, ResponseScores
from prefalign.objectives.dpo import DPO
from prefalign.objectives.listwise import PlackettLuce
from prefalign.objectives.pairs import PAIR_LOSSES
from prefalign.objectives.reference_free import CPO
from prefalign.objectives.repo import REPO
from prefalign.objectives.unary import BCO, KTO

WINNER, LOSER = [0.02, 0.05], [0.03, 0.04]
REF_WINNER, REF_LOSER = [0.021, 0.049], [0.029, 0.041]


def pairs(count):
    return Relations.from_records(
        [
            PreferenceRecord(
                id=f"r{i}",
                prompt=Prompt(text="x"),
                responses=(Response(text="a"), Response(text="b")),
                verdict=Pair(0, 1),
            )
            for i in range(count)
        ]
    )


def denoised(winner, loser):
    errors = torch.stack([torch.as_tensor(e, dtype=torch.float64) for e in (winner, loser)], 1).flatten()
    return ResponseScores(-errors / 2, torch.ones_like(errors), units="mse/2", errors=errors)


def test_crpo_by_hand():
    """β 2000: margins −1000·(−0.002) = 2 and −1000·(0.002) = −2; the winners' mean error is 0.035."""
    policy, reference = denoised(WINNER, LOSER), denoised(REF_WINNER, REF_LOSER)
    dpo = (math.log1p(math.exp(-2)) + math.log1p(math.exp(2))) / 2
    plain = DPO()(policy, reference, pairs(2))
    crpo = DPO(nll_weight=1.0)(policy, reference, pairs(2))
    assert plain.loss.item() == pytest.approx(dpo, rel=1e-9)
    assert crpo.loss.item() == pytest.approx(dpo + 0.035, rel=1e-9)
    assert crpo.metrics["nll_loss"].item() == pytest.approx(0.035)
    assert crpo.metrics["mse/chosen"].item() == pytest.approx(0.035)
    assert crpo.metrics["ref_mse/rejected"].item() == pytest.approx(0.035)


def test_tango_2_is_the_same_loss_without_the_winners_term_for_one_pair():
    """−log σ(−(β/2)[(ℓ_w − ℓ_l) − (ref_w − ref_l)]), arXiv 2404.09956 eq. 17 with mean reduction."""
    policy, reference = denoised([0.3], [0.5]), denoised([0.35], [0.45])
    expected = math.log1p(math.exp(-(2000 / 2) * 0.1))
    assert DPO()(policy, reference, pairs(1)).loss.item() == pytest.approx(expected, abs=1e-12)


PLAIN = sorted(set(PAIR_LOSSES) - {"exo_pair", "sft"})
OBJECTIVES = {
    **{name: lambda name=name: DPO(beta=3.0, loss_type=name) for name in PLAIN},
    "exo_pair": lambda: DPO(beta=3.0, loss_type="exo_pair", label_smoothing=0.01),
    "sft": lambda: DPO(loss_type="sft"),
    "crpo": lambda: DPO(beta=3.0, nll_weight=1.0),
    "cpo": lambda: CPO(beta=3.0),
    "repo": lambda: REPO(beta=3.0),
    "kto of the batch": lambda: KTO(beta=3.0, baseline="batch"),
    "bco": lambda: BCO(beta=3.0),
    "plackett_luce": lambda: PlackettLuce(beta=3.0),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_works_on_denoising_errors(name):
    """Gradients agree with differences."""
    objective = OBJECTIVES[name]().eval()
    reference = denoised(REF_WINNER, REF_LOSER)

    def loss(winner, loser):
        return objective(denoised_live(winner, loser), reference, pairs(2)).loss

    def denoised_live(winner, loser):
        errors = torch.stack([winner, loser], 1).flatten()
        return ResponseScores(-errors / 2, torch.ones_like(errors), units="mse/2", errors=errors)

    winner, loser = (torch.tensor(e, dtype=torch.float64, requires_grad=True) for e in (WINNER, LOSER))
    # RE-PO takes its posterior for a constant, KTO and BCO their baseline: differences would see them move.
    if name not in ("repo", "kto of the batch", "bco"):
        assert torch.autograd.gradcheck(loss, (winner, loser), eps=1e-7, atol=1e-6)
    loss(winner, loser).backward()
    assert winner.grad.isfinite().all()
    assert winner.grad.abs().sum() > 0


def test_diffusion_kto_measures_from_the_batchs_own_mean():
    """Rewards β·s of 1, −1, −1, 1 have mean 0, so the loss is 1 − σ(±r): desirable 1 and −1, undesirable −1 and 1."""
    policy, reference = denoised(WINNER, LOSER), denoised(REF_WINNER, REF_LOSER)
    out = KTO(beta=2000.0, baseline="batch")(policy, reference, pairs(2))

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    assert out.loss.item() == pytest.approx((sigmoid(-1) + sigmoid(-1) + sigmoid(1) + sigmoid(1)) / 4, rel=1e-9)
    assert KTO(baseline="batch").needs == {"reference"}
    # All rewards 1 higher (every error 0.001 lower than before): the mean is 1 and moves the zero with it.
    better = denoised([e - 0.001 for e in WINNER], [e - 0.001 for e in LOSER])
    shifted = KTO(beta=2000.0, baseline="batch")(better, reference, pairs(2))
    assert shifted.loss.item() == pytest.approx(out.loss.item(), rel=1e-9)
    assert shifted.metrics["kl"].item() == pytest.approx(1 / 2000)
