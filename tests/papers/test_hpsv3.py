"""HPSv3's uncertainty-aware ranking loss, which PEARL's reward learning shares.

The released code draws 1000 samples of z ~ N(μ_w − μ_l, σ_w² + σ_l²) and averages −log σ(z).
"""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.interfaces import Pair, PreferenceRecord, Prompt, Relations, Response, RewardOutput
from prefalign.objectives.reward_modelling import BradleyTerry, Gaussian


@pytest.fixture
def pair() -> Relations:
    responses = (Response(text="a"), Response(text="b"))
    return Relations.from_records(
        [PreferenceRecord(id="r", prompt=Prompt(text="q"), responses=responses, verdict=Pair())]
    )


def rewards(mean: tuple[float, float], deviation: tuple[float, float]) -> RewardOutput:
    means = torch.tensor(mean, dtype=torch.float64).unsqueeze(-1)
    variance = torch.tensor(deviation, dtype=torch.float64).unsqueeze(-1) ** 2
    return RewardOutput(means, torch.ones(2, dtype=torch.bool), variance)


@pytest.mark.parametrize("log_inside", [True, False])
def test_without_uncertainty_it_is_bradley_terry(log_inside, pair):
    sure = rewards((0.7, -0.4), (0.0, 0.0))
    expected = BradleyTerry()(sure, pair).loss
    torch.testing.assert_close(Gaussian(log_inside)(sure, pair).loss, expected, atol=1e-11, rtol=0)


def test_the_quadrature_is_the_limit_of_the_released_sampling(pair):
    """−log σ(z) scatters by about 0.4 nats, a mean of a thousand draws by 0.013, the mean of 400 of those by less."""
    unsure = rewards((0.5, 0.0), (0.6, 0.8))
    exact = Gaussian(log_inside=True)(unsure, pair).loss.item()
    torch.manual_seed(0)
    drawn = torch.stack([Gaussian(log_inside=True, samples=1000)(unsure, pair).loss for _ in range(400)])
    assert drawn.mean().item() == pytest.approx(exact, abs=4 * drawn.std().item() / math.sqrt(400))
    assert 0.005 < drawn.std().item() < 0.03


def test_equal_means_cost_log_two_outside_and_more_inside(pair):
    """By symmetry E σ(z) = ½ for any variance; E[−log σ] exceeds log 2 by about s²/8 (s² = 0.02, next term −s⁴/64)."""
    even = rewards((0.3, 0.3), (0.1, 0.1))
    assert Gaussian(log_inside=False)(even, pair).loss.item() == pytest.approx(math.log(2), abs=1e-12)
    excess = Gaussian(log_inside=True)(even, pair).loss.item() - math.log(2)
    assert excess == pytest.approx(0.02 / 8 - 0.02**2 / 64, abs=1e-7)


def test_ties_and_margin_variants_of_the_same_code(pair):
    """Margin 0.57; k = 5 with equal rewards: win −log σ(−log 5) = log 6, tie log 1.5."""
    even = rewards((0.0, 0.0), (0.0, 0.0))
    assert BradleyTerry(margin=0.57)(even, pair).loss.item() == pytest.approx(math.log1p(math.exp(0.57)), abs=1e-12)
    assert BradleyTerry(ties=5.0)(even, pair).loss.item() == pytest.approx(math.log(6), abs=1e-12)
    pair.tie = torch.tensor([True])
    assert BradleyTerry(ties=5.0)(even, pair).loss.item() == pytest.approx(math.log(1.5), abs=1e-12)
