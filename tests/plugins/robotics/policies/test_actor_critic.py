"""Values by expectiles, and policies that do more of what was better than expected."""

import math

import pytest
import torch

from prefalign.interfaces import PrefalignError
from prefalign_robotics.policies.actor import Actor, perceptron
from prefalign_robotics.policies.actor_critic import ActorCritic, Twin, expectile_loss


def test_the_loss_weighs_both_sides():
    """τ = 0.7 of u²: 0.7 · 4 = 2.8 above, 0.3 · 4 = 1.2 below."""
    assert expectile_loss(torch.tensor([2.0, -2.0, 0.0]), 0.7) == pytest.approx(torch.tensor([2.8, 1.2, 0.0]))


def lowest(values, expectile):
    """The constant of least loss below the values, by bisection of the slope Σ w(x − m)."""
    low, high = values.min(), values.max()
    for _ in range(60):
        middle = ((low + high) / 2).requires_grad_()
        (slope,) = torch.autograd.grad(expectile_loss(values - middle, expectile).sum(), middle)
        low, high = (middle.detach(), high) if slope < 0 else (low, middle.detach())
    return float(low)


def test_expectiles_are_what_they_are_known_to_be():
    """Of 0 and 1: τ(1 − m) = (1 − τ)m, so m = τ. At τ = 1/2 the mean; at τ → 1 the largest."""
    pair = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert [lowest(pair, t) for t in (0.1, 0.7, 0.9)] == pytest.approx([0.1, 0.7, 0.9])
    values = torch.tensor([0.0, 1.0, 8.0], dtype=torch.float64)
    assert lowest(values, 0.5) == pytest.approx(3)
    assert lowest(values, 1 - 1e-7) == pytest.approx(8, abs=1e-5)


def test_the_gradient_of_the_loss_is_right():
    difference = torch.tensor([1.5, -0.5, 3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u: expectile_loss(u, 0.7), difference)


def test_two_perceptrons_side_by_side_are_two_perceptrons():
    torch.manual_seed(0)
    twin = Twin(5, (7, 6))
    seen, done = torch.randn(9, 3), torch.randn(9, 2)
    for index in range(2):
        alone = perceptron(5, (7, 6), 1)
        linear = [layer for layer in alone if isinstance(layer, torch.nn.Linear)]
        for layer, weight, bias in zip(linear, twin.weights, twin.biases, strict=True):
            layer.weight.data, layer.bias.data = weight[index].T, bias[index, 0]
        expected = alone(torch.cat([seen, done], -1)).squeeze(-1)
        assert torch.allclose(twin(seen, done)[index], expected, atol=1e-6)
    assert not torch.allclose(*twin(seen, done))


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return ActorCritic(Actor(3, 2, (8,)), (8,), expectile=0.7, temperature=2.0, rate=0.1)


def test_the_losses_are_those_of_the_paper(networks):
    seen, actions = torch.randn(6, 3), torch.rand(6, 2)
    for parameter in networks.slow.parameters():
        parameter.add_(0.3 * torch.randn(parameter.shape))
    found = networks.improvement(seen, actions)
    advantage = networks.slow(seen, actions).min(0).values - networks.value(seen)[:, 0]
    assert torch.equal(found.advantage, advantage)
    weight = [0.7 if a > 0 else 0.3 for a in advantage.tolist()]
    assert found.value.item() == pytest.approx(
        sum(w * a**2 for w, a in zip(weight, advantage.tolist(), strict=True)) / 6
    )
    errors = ((networks.actor(seen) - actions) ** 2).sum(1)
    expected = sum(math.exp(2 * a) * e for a, e in zip(advantage.tolist(), errors.tolist(), strict=True)) / 6
    assert found.actor.item() == pytest.approx(expected, rel=1e-5)


def test_weights_of_the_actor_are_bounded_by_a_hundred(networks):
    seen, actions = torch.randn(6, 3), torch.rand(6, 2)
    networks.value[-1].bias.data.fill_(-50)
    errors = ((networks.actor(seen) - actions) ** 2).sum(1)
    assert networks.improvement(seen, actions).actor.item() == pytest.approx(100 * errors.mean().item(), rel=1e-5)


def test_each_loss_reaches_its_own_network_only(networks):
    seen, actions = torch.randn(6, 3), torch.rand(6, 2)
    found = networks.improvement(seen, actions)
    for loss, own in ((found.value, networks.value), (found.actor, networks.actor)):
        networks.zero_grad()
        loss.backward(retain_graph=True)
        reached = {name.split(".")[0] for name, p in networks.named_parameters() if p.grad is not None}
        assert reached == {next(n for n, m in networks.named_children() if m is own)}


def test_the_slow_critics_follow(networks):
    before = [p.clone() for p in networks.slow.parameters()]
    for parameter in networks.critics.parameters():
        parameter.data += 1
    networks.follow()
    for slow, old in zip(networks.slow.parameters(), before, strict=True):
        assert torch.allclose(slow, old + 0.1, atol=1e-6)
        assert not slow.requires_grad


def test_one_optimiser_holds_all_that_is_trained_and_the_actor_first(networks):
    groups = networks.optimiser(1e-2).param_groups
    assert [id(p) for p in groups[0]["params"]] == [id(p) for p in networks.actor.parameters()]
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in networks.parameters() if p.requires_grad)


def test_an_actor_reads_standardised_observations():
    actor = Actor(2, 1, (4,))
    observations = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    assert torch.equal(actor.standardised(observations), observations)
    actor.measure(observations)
    assert torch.allclose(actor.standardised(observations), torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    assert actor.act(observations.numpy()).shape == (2, 1)


@pytest.mark.parametrize("wrong", [{"expectile": 1.0}, {"expectile": 0.0}, {"temperature": 0.0}, {"rate": 0.0}])
def test_numbers_out_of_their_range_are_refused(wrong):
    with pytest.raises(PrefalignError, match="0 < expectile < 1, temperature > 0 and 0 < rate <= 1"):
        ActorCritic(Actor(3, 2, (8,)), (8,), **{"expectile": 0.7, "temperature": 1.0, "rate": 0.1, **wrong})


def test_empty_layers_are_refused():
    with pytest.raises(PrefalignError, match=r"at least 1 unit, got \[3, 0, 2\]"):
        Actor(3, 2, (0,))
