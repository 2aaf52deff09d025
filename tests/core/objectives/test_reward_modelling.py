"""Objectives that train rewards."""

from __future__ import annotations

import math

import pytest
import torch

from prefalign.interfaces import CapabilityError, PrefalignError, RewardOutput
from prefalign.objectives.reward_modelling import BradleyTerry, Gaussian, Pointwise


def output(*rewards: float, variance=None, valid=None) -> RewardOutput:
    mean = torch.tensor(rewards, dtype=torch.float64).unsqueeze(-1)
    return RewardOutput(
        mean=mean,
        valid=torch.ones(len(rewards), dtype=torch.bool) if valid is None else torch.tensor(valid),
        variance=None if variance is None else torch.tensor(variance, dtype=torch.float64).unsqueeze(-1),
    )


def nll(x: float) -> float:
    return math.log1p(math.exp(-x))


def test_bradley_terry_and_its_metrics(relations):
    """Differences 1 and −0.5."""
    found = BradleyTerry()(output(1.0, 0.0, 0.0, 0.5), relations(2))
    assert found.per_sample.tolist() == pytest.approx([nll(1.0), nll(-0.5)], abs=1e-12)
    metrics = {name: value.item() for name, value in found.metrics.items()}
    assert metrics == pytest.approx(
        {"accuracy": 0.5, "margin": 0.25, "min_reward": 0.0, "mean_reward": 0.375, "max_reward": 1.0}
    )


def test_imitation_preference_probability(relations):
    """r1 = 0.5 − 0.2 + 1.1 = 1.4 and r2 = 0.1 + 0.4 + 0.3 = 0.8 over three steps: P = 0.6456563, loss 0.4374880.

    With a tenth of the answers at random and steps discounted by 0.9, as imitation does it: Δ = 0.4 − 0.54 + 0.648 =
    0.508 and P = 0.05 + 0.9 σ(0.508) = 0.6119037.
    """
    steps = torch.tensor([[0.5, -0.2, 1.1], [0.1, 0.4, 0.3]], dtype=torch.float64).unsqueeze(-1)
    rewards = RewardOutput(steps, torch.ones(2, dtype=torch.bool), mask=torch.ones(2, 3, dtype=torch.bool))
    loss = BradleyTerry()(rewards, relations(1)).loss.item()
    assert loss == pytest.approx(nll(0.6), abs=1e-9)
    assert loss == pytest.approx(0.4374880, abs=6e-8)
    assert math.exp(-loss) == pytest.approx(0.6456563, abs=6e-8)
    rewards.mean = steps * torch.tensor([1.0, 0.9, 0.81], dtype=torch.float64).unsqueeze(-1)
    noisy = BradleyTerry(noise=0.1)(rewards, relations(1)).loss.item()
    assert math.exp(-noisy) == pytest.approx(0.05 + 0.9 / (1 + math.exp(-0.508)), abs=1e-9)
    assert math.exp(-noisy) == pytest.approx(0.6119037, abs=6e-8)


def test_margins_soft_labels_smoothing_centring_and_weights(relations):
    """Δ = 1; margin 0.25 + 0.5 in either order; p = 0.75, ε = 0.1: 0.7; centring 0.01 · (1.5 + 0.5)²; weight 2."""
    rows = relations(1, margin=torch.tensor([0.5]), probability=torch.tensor([0.75]), pair_weight=torch.tensor([2.0]))
    objective = BradleyTerry(margin=0.25, label_smoothing=0.1, center_rewards_coefficient=0.01)
    expected = 2 * (0.7 * nll(1 - 0.75) + 0.3 * nll(-1 - 0.75) + 0.01 * 4)
    assert objective(output(1.5, 0.5), rows).loss.item() == pytest.approx(expected, abs=1e-7)
    own = BradleyTerry(margin=0.25, record_margins=False)(output(1.5, 0.5), rows).loss.item()
    assert own == pytest.approx(2 * (0.75 * nll(0.75) + 0.25 * nll(-1.25)), abs=1e-12)


def test_ties_cost_half_a_win_each_or_rao_kupper(relations):
    """Δ = 1 declared a tie, with a margin that ties do not know.

    k = 5: −log σ(1 − log 5) − log σ(−1 − log 5) − log 24.
    """
    rows = relations(1, tie=torch.tensor([True]), probability=torch.tensor([0.5]), margin=torch.tensor([0.5]))
    half = BradleyTerry()(output(1.0, 0.0), rows).loss.item()
    assert half == pytest.approx(0.5 * nll(1) + 0.5 * nll(-1), abs=1e-12)
    expected = nll(1 - math.log(5)) + nll(-1 - math.log(5)) - math.log(24)
    tied = BradleyTerry(ties=5.0)(output(1.0, 0.0), rows)
    assert tied.loss.item() == pytest.approx(expected, abs=1e-12)
    assert "accuracy" not in tied.metrics


@pytest.mark.parametrize("invalid", [1, 3])
def test_rows_without_valid_reward_take_no_part(invalid, relations):
    """The second pair loses its chosen or its rejected row; the first one stays."""
    numbers = [1.0, 0.5, 0.0, 0.5]
    numbers[invalid] = math.nan
    rewards = output(*numbers, valid=[row != invalid for row in range(4)])
    rewards.mean.requires_grad_()
    found = BradleyTerry(center_rewards_coefficient=0.1)(rewards, relations(2))
    found.loss.backward()
    assert found.loss.item() == pytest.approx(nll(1.0) + 0.1, abs=1e-12)
    assert rewards.mean.grad.isfinite().all()
    assert found.metrics["mean_reward"].item() == pytest.approx(0.5)


def test_another_criterion_can_be_compared(relations):
    rewards = RewardOutput(torch.tensor([[0.0, 2.0], [0.0, 0.5]]), torch.ones(2, dtype=torch.bool))
    assert BradleyTerry(criterion=1)(rewards, relations(1)).loss.item() == pytest.approx(nll(1.5), abs=1e-6)
    with pytest.raises(PrefalignError, match="criterion 2 is out of range: the reward has 2"):
        BradleyTerry(criterion=2)(rewards, relations(1))


@pytest.mark.parametrize("log_inside", [True, False])
def test_gaussian_uses_the_variance_of_the_difference(log_inside, relations):
    """Two draws of variance 0.36 + 0.64 = 1 about 0.5 − 0.25, against a million draws at a fixed seed."""
    rewards = output(0.5, 0.0, variance=[0.36, 0.64])
    objective = Gaussian(log_inside=log_inside, margin=0.25)
    z = 0.25 + torch.randn(1_000_000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    log_p = torch.nn.functional.logsigmoid(z)
    expected = -log_p.mean() if log_inside else -log_p.exp().mean().log()
    assert objective(rewards, relations(1)).loss.item() == pytest.approx(expected.item(), abs=2e-3)


def test_gaussian_sampling_form(relations):
    torch.manual_seed(0)
    rewards = output(0.5, 0.0, variance=[0.36, 0.64])
    drawn = Gaussian(samples=100_000)(rewards, relations(1)).loss
    torch.testing.assert_close(drawn, Gaussian()(rewards, relations(1)).loss, atol=5e-3, rtol=0)


def test_gaussian_needs_a_variance(relations):
    with pytest.raises(CapabilityError, match="variance"):
        Gaussian()(output(1.0, 0.0), relations(1))


def test_pointwise_logistic_on_labels(relations):
    """Logits 1 (desirable) and −2 (undesirable), unlabelled ignored; ε = 0.1."""
    rows = relations(0, extra=[1.0, 0.0, math.nan])
    found = Pointwise(label_smoothing=0.1)(output(1.0, -2.0, 7.0), rows)
    expected = [0.9 * nll(1) + 0.1 * nll(-1), 0.9 * nll(2) + 0.1 * nll(-2)]
    assert found.per_sample.tolist() == pytest.approx(expected, abs=1e-12)
    assert found.metrics["accuracy"].item() == 1.0


def test_pointwise_squared_error_on_numbers(relations):
    rows = relations(0, extra=[math.nan] * 3, reward=torch.tensor([0.5, math.nan, 3.0]))
    rows.row_weight = torch.tensor([1.0, 1.0, 0.5])
    found = Pointwise("mse", "reward")(output(1.0, 9.0, 1.0), rows)
    assert found.per_sample.tolist() == pytest.approx([0.25, 2.0])
    assert found.loss.item() == pytest.approx(1.125)
    with pytest.raises(PrefalignError, match="between 0 and 1"):
        Pointwise("bce", "reward")(output(1.0, 9.0, 1.0), rows)


OBJECTIVES = {
    "bt": BradleyTerry,
    "bt, all options": lambda: BradleyTerry(0.3, label_smoothing=0.1, center_rewards_coefficient=0.1, ties=3.0),
    "bt, noisy": lambda: BradleyTerry(noise=0.1),
    "gaussian": Gaussian,
    "gaussian, log inside": lambda: Gaussian(log_inside=True),
    "pointwise": Pointwise,
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_are_exact_and_extremes_finite(name, relations):
    objective, rows = OBJECTIVES[name](), relations(2)
    valid = torch.ones(4, dtype=torch.bool)
    mean = torch.tensor([[0.4], [-1.0], [0.9], [0.1]], dtype=torch.float64, requires_grad=True)
    variance = torch.tensor([[0.4], [1.0], [0.9], [0.1]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m, v: objective(RewardOutput(m, valid, v), rows).loss, (mean, variance))
    far = torch.tensor([[-1e4], [1e4], [1e4], [-1e4]], requires_grad=True)
    loss = objective(RewardOutput(far, valid, torch.ones(4, 1)), rows).loss
    loss.backward()
    assert loss.isfinite()
    assert far.grad.isfinite().all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_nothing_to_learn_from_costs_nothing(name, relations):
    mean = torch.tensor([[0.4]], requires_grad=True)
    rewards = RewardOutput(mean, torch.zeros(1, dtype=torch.bool), torch.ones(1, 1))
    found = OBJECTIVES[name]()(rewards, relations(0, extra=[1.0]))
    found.loss.backward()
    assert found.loss.item() == 0.0
    assert mean.grad.tolist() == [[0.0]]
    assert found.metrics == {}


def test_half_precision_rewards_are_compared_in_float32(relations):
    rewards = RewardOutput(torch.tensor([[2.0], [0.5]], dtype=torch.bfloat16), torch.ones(2, dtype=torch.bool))
    loss = BradleyTerry()(rewards, relations(1)).loss
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(nll(1.5), abs=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BradleyTerry(margin=-1.0), "margin"),
        (lambda: BradleyTerry(label_smoothing=0.7), "label_smoothing"),
        (lambda: BradleyTerry(ties=1.0), "ties > 1"),
        (lambda: BradleyTerry(noise=1.0), "noise"),
        (lambda: BradleyTerry(noise=0.1, ties=5.0), "choose one"),
        (lambda: Gaussian(nodes=0), "nodes"),
        (lambda: Pointwise("mse", label_smoothing=0.1), "no effect"),
        (lambda: Pointwise(label_smoothing=0.7), "1/2"),
    ],
)
def test_refused_at_construction(make, message):
    with pytest.raises(PrefalignError, match=message):
        make()
