"""Robust reward learning as an objective."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.functional import robust_reward as losses
from prefalign.interfaces import CapabilityError, PrefalignError, RewardOutput
from prefalign.objectives.reward_modelling import BradleyTerry, Gaussian
from prefalign.objectives.robust_reward import RobustReward


def steps(seed: int = 0, rows: int = 4, variance: float | None = None) -> RewardOutput:
    """Rewards of `rows` segments of up to three steps in float64; NaN stands where no step is."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(rows, 3, 1, dtype=torch.float64, generator=generator)
    spread = torch.rand(rows, 3, 1, dtype=torch.float64, generator=generator) + 0.1
    mask = torch.ones(rows, 3, dtype=torch.bool)
    mask[0, 2] = False
    if variance is not None:
        spread = torch.full_like(spread, variance)
    return RewardOutput(mean, torch.ones(rows, dtype=torch.bool), spread, mask)


def test_the_loss_is_cross_entropy_on_draws_plus_what_the_entropy_lacks(relations):
    """Two pairs of soft labels 1 and 0.6, K = 5; the mean of the shortfall runs over the eleven steps that exist."""
    rewards, rows = steps(), relations(2, probability=torch.tensor([1.0, 0.6]))
    torch.manual_seed(7)
    found = RobustReward(entropy_weight=0.3, entropy_floor=1.2)(rewards, rows)
    torch.manual_seed(7)
    noise = torch.randn(5, 2, dtype=torch.float64)
    expected = 0.0
    shortfalls = []
    totals = [(sum(m), sum(v)) for m, v in ((_steps(rewards.mean, r), _steps(rewards.variance, r)) for r in range(4))]
    for pair, p in enumerate((1.0, 0.6)):
        mean = totals[pair][0] - totals[2 + pair][0]
        deviation = math.sqrt(totals[pair][1] + totals[2 + pair][1])
        for k in range(5):
            z = mean + deviation * noise[k, pair].item()
            expected += (p * math.log1p(math.exp(-z)) + (1 - p) * math.log1p(math.exp(z))) / 10
    for row in range(4):
        for variance in _steps(rewards.variance, row):
            shortfalls.append(max(0.0, 1.2 - 0.5 * math.log(2 * math.pi * math.e * variance)))
    assert len(shortfalls) == 11
    assert sum(shortfalls) > 0
    assert found.loss.item() == pytest.approx(expected + 0.3 * sum(shortfalls) / 11, abs=1e-7)
    assert {"entropy", "accuracy", "margin"} <= found.metrics.keys()
    entropies = [0.5 * math.log(2 * math.pi * math.e * v) for r in range(4) for v in _steps(rewards.variance, r)]
    assert found.metrics["entropy"].item() == pytest.approx(sum(entropies) / 11, abs=1e-9)


def _steps(values: torch.Tensor, row: int) -> list[float]:
    return values[row, : 2 if row == 0 else 3, 0].tolist()


@pytest.mark.parametrize("samples", [0, 3])
def test_without_variance_and_floor_it_is_bradley_terry(samples, relations):
    rewards, rows = steps(variance=0.0), relations(2, probability=torch.tensor([1.0, 0.75]))
    options = {"margin": 0.2, "label_smoothing": 0.1, "center_rewards_coefficient": 0.01}
    found = RobustReward(samples=samples, entropy_weight=0.0, **options)(rewards, rows)
    torch.testing.assert_close(found.loss, BradleyTerry(**options)(rewards, rows).loss, atol=1e-5, rtol=0)


def test_many_draws_agree_with_the_quadrature_that_evaluation_uses(relations):
    torch.manual_seed(0)
    rewards, rows = steps(), relations(2, probability=torch.tensor([0.9, 0.6]))
    drawn, exact = RobustReward(samples=200_000), RobustReward(samples=0)
    torch.testing.assert_close(drawn(rewards, rows).loss, exact(rewards, rows).loss, atol=1e-2, rtol=0)
    assert torch.equal(drawn.eval()(rewards, rows).loss, exact(rewards, rows).loss)
    without = RobustReward(entropy_weight=0.0).eval()(rewards, rows).loss
    torch.testing.assert_close(without, Gaussian(log_inside=True)(rewards, rows).loss)


def test_evaluation_draws_nothing(relations):
    state = torch.get_rng_state()
    RobustReward().eval()(steps(), relations(2))
    RobustReward(samples=0)(steps(), relations(2))
    assert torch.equal(torch.get_rng_state(), state)
    RobustReward()(steps(), relations(2))
    assert not torch.equal(torch.get_rng_state(), state)


def test_rows_that_could_not_be_judged_have_no_part_in_the_entropy(relations):
    rewards = steps()
    rewards.valid[1] = False
    rewards.mean[1], rewards.variance[1] = math.nan, math.nan
    rewards.mean.requires_grad_()
    rewards.variance.requires_grad_()
    found = RobustReward(entropy_floor=3.0)(rewards, relations(2))
    found.loss.backward()
    assert found.loss.isfinite()
    kept = rewards.variance.detach()[[0, 0, 2, 2, 2, 3, 3, 3], [0, 1, 0, 1, 2, 0, 1, 2], 0]
    assert found.metrics["entropy"].item() == pytest.approx(losses.gaussian_entropy(kept).mean().item(), abs=1e-12)
    assert rewards.variance.grad.isfinite().all()
    assert (rewards.variance.grad[1] == 0).all()


def test_the_floor_keeps_a_reward_unsure(relations):
    """Descent on pairs that agree: the deviation falls towards 0 without the floor, and stays at it with."""

    def trained(weight):
        log_variance = torch.zeros(2, 1, requires_grad=True)
        optimizer = torch.optim.SGD([log_variance], lr=0.3)
        objective = RobustReward(samples=0, entropy_weight=weight, entropy_floor=1.0)
        for _ in range(600):
            optimizer.zero_grad()
            rewards = RewardOutput(torch.tensor([[0.5], [0.0]]), torch.ones(2, dtype=torch.bool), log_variance.exp())
            objective(rewards, relations(1)).loss.backward()
            optimizer.step()
        return losses.gaussian_entropy(log_variance.detach().exp()).mean().item()

    assert trained(0.0) < 0.0
    assert trained(1.0) == pytest.approx(1.0, abs=0.1)


def test_gradients_are_exact(relations):
    rewards, rows = steps(), relations(2, probability=torch.tensor([0.9, 0.5]))

    def loss(mean, variance):
        torch.manual_seed(0)
        objective = RobustReward(entropy_floor=1.2)
        return objective(RewardOutput(mean, rewards.valid, variance, rewards.mask), rows).loss

    arguments = rewards.mean.requires_grad_(), rewards.variance.requires_grad_()
    assert torch.autograd.gradcheck(loss, arguments)


def test_nothing_to_learn_from_costs_nothing(relations):
    mean, variance = torch.tensor([[0.4]], requires_grad=True), torch.ones(1, 1, requires_grad=True)
    rewards = RewardOutput(mean, torch.zeros(1, dtype=torch.bool), variance)
    found = RobustReward()(rewards, relations(0, extra=[1.0]))
    found.loss.backward()
    assert found.loss.item() == 0.0
    assert mean.grad.tolist() == [[0.0]]
    assert found.metrics == {}


def test_half_precision_is_raised(relations):
    half = steps().mean.bfloat16(), steps().variance.bfloat16()
    rewards = RewardOutput(half[0], torch.ones(4, dtype=torch.bool), half[1], steps().mask)
    assert RobustReward()(rewards, relations(2)).loss.dtype == torch.float32


def test_what_is_refused(relations):
    sure = RewardOutput(torch.zeros(2, 1), torch.ones(2, dtype=torch.bool))
    with pytest.raises(CapabilityError, match="needs a reward with a variance"):
        RobustReward()(sure, relations(1))
    with pytest.raises(PrefalignError, match="criterion 1 is out of range"):
        RobustReward(criterion=1)(steps(), relations(2))
    for options in ({"samples": -1}, {"entropy_weight": -0.1}):
        with pytest.raises(PrefalignError, match="at least 0"):
            RobustReward(**options)
    with pytest.raises(PrefalignError, match="label_smoothing"):
        RobustReward(label_smoothing=0.6)
