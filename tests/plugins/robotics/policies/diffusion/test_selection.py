"""The implicit reward is the paper's sum, drawn as the paper draws it."""

import copy

import numpy as np
import pytest
import torch

from prefalign.functional.levels import Levels
from prefalign.interfaces import PrefalignError
from prefalign_robotics.policies.diffusion.selection import ImplicitReward, ranked


@pytest.fixture
def models(small):
    reference = small(1)
    policy = copy.deepcopy(reference)
    with torch.no_grad():
        for parameter in policy.network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    return policy, reference


@pytest.fixture
def actions():
    return 2 * torch.rand(3, 6, 4, 3, generator=torch.Generator().manual_seed(0)) - 1


def saying(small, value, prediction="sample"):
    """A policy that predicts the same number always."""
    denoiser = small(prediction=prediction)
    denoiser.predict = lambda noisy, time, condition: torch.full_like(noisy, value)
    return denoiser


@pytest.mark.parametrize("prediction", ["sample", "epsilon"])
@pytest.mark.parametrize("gamma", [None, 5.0])
def test_one_pass_is_the_plain_loop(small, observations, actions, prediction, gamma):
    policy, reference = small(1, prediction=prediction), small(2, prediction=prediction)
    policy.network.set_scales(torch.from_numpy(observations), torch.tensor([[-1.0, -1, -2], [1, 2, 1]]))
    reference.network.load_state_dict({**reference.network.state_dict(), **dict(policy.network.named_buffers())})
    reward = ImplicitReward(policy, reference, beta=3.0, min_snr_gamma=gamma, rows=7)
    level = torch.rand(3, 2, generator=torch.Generator().manual_seed(3))
    noise = torch.randn(3, 2, 4, 3, generator=torch.Generator().manual_seed(4))
    found = reward.at(observations, actions, level, noise)
    alphas = policy.path.alphas_cumprod
    for b in range(3):
        for c in range(6):
            total = 0.0
            for n in range(2):
                step = int(level[b, n] * 100)
                product = alphas[step].double()
                clean, drawn = policy.network.scaled(actions[b, c]).double(), noise[b, n].double()
                noisy = (product.sqrt() * clean + (1 - product).sqrt() * drawn).float()
                target = clean if prediction == "sample" else drawn
                errors = []
                for model in (policy, reference):
                    with torch.no_grad():
                        said = model.predict(noisy[None], torch.tensor([step]), model.observed(observations[b : b + 1]))
                    errors.append(((said[0].double() - target) ** 2).mean())
                snr = product / (1 - product)
                weight = 1.0
                if gamma is not None:
                    weight = min(snr, gamma) / (1 if prediction == "sample" else snr)
                total += weight * (errors[0] - errors[1])
            assert found[b, c].item() == pytest.approx(-3.0 * float(total) / 2, rel=2e-3, abs=2e-4)


def test_by_hand(small):
    """Saying 0.5 and 0 about chunks of x: −β[(x − 0.5)² − x²] = β(x − 1/4); 100 × 0.25, 0, −75 for x = ½, ¼, −½."""
    reward = ImplicitReward(saying(small, 0.5), saying(small, 0.0))
    chunks = torch.tensor([0.5, 0.25, -0.5])[None, :, None, None].expand(1, 3, 4, 3)
    assert reward(np.zeros((1, 5)), chunks)[0].tolist() == pytest.approx([25, 0, -75], abs=1e-3)


def test_draws_lie_in_the_first_tenth_and_are_shared(models, observations, actions):
    policy, reference = models
    asked = []

    def watched(model, name):
        def predict(noisy, time, condition):
            asked.append((name, noisy, time))
            return plain(noisy, time, condition)

        plain, model.predict = model.predict, predict

    watched(policy, "policy")
    watched(reference, "reference")
    twins = actions[:, :1].expand(-1, 6, -1, -1)
    reward = ImplicitReward(policy, reference, draws=40, seed=1)
    found = reward(observations, twins)
    (first, noisy, time), (second, noisy_too, time_too) = asked
    assert (first, second) == ("policy", "reference")
    assert torch.equal(noisy, noisy_too)
    assert torch.equal(time, time_too)
    assert set(time.tolist()) == set(range(10))
    noisy = noisy.reshape(3, 6, 40, 4, 3)
    assert torch.equal(noisy, noisy[:, :1].expand_as(noisy))
    assert not torch.equal(noisy[:, :, 0], noisy[:, :, 1])
    assert torch.allclose(found, found[:, :1].expand_as(found), rtol=1e-4)
    assert not torch.allclose(found[0], found[1], rtol=1e-2)
    again = ImplicitReward(policy, reference, draws=40, seed=1)(observations, twins)
    assert torch.allclose(again, found)
    everywhere = ImplicitReward(policy, reference, draws=40, levels=Levels(), seed=1)
    asked.clear()
    everywhere(observations, twins)
    assert asked[0][2].max() > 90


def test_a_policy_that_is_its_reference_likes_nothing_better(small, observations, actions):
    policy = small()
    reward = ImplicitReward(policy)
    assert torch.equal(reward(observations, actions), torch.zeros(3, 6))
    with torch.no_grad():
        policy.network.leave.bias.add_(0.5)
    assert reward(observations, actions).abs().max() > 0.1


def test_a_tuned_policy_likes_what_was_preferred(small):
    """Chunks of larger numbers earn more, wherever the robot stands."""
    from prefalign.objectives.dpo import DPO
    from prefalign.policies.denoising import DenoisingPolicy
    from prefalign.policies.reference import Frozen
    from prefalign_robotics.policies.diffusion.codec import chunk_record

    generator = np.random.default_rng(0)
    chunks = generator.uniform(-1, 1, (40, 6, 1, 1)) + 0.1 * generator.standard_normal((40, 6, 4, 3))
    seen = generator.standard_normal((40, 5))
    policy = DenoisingPolicy(small(), score="mse")
    policy.configure_model()
    reference, objective = Frozen(), DPO(beta=100.0, loss_type="negative_sigmoid")
    reference.configure(policy)
    examples = [
        policy.encode(chunk_record(f"r{i}", "toy", seen[i], chunks[i], chunks[i].mean((1, 2)))) for i in range(32)
    ]
    optimizer = torch.optim.Adam(policy.parameters(), 3e-3)
    for step in range(40):
        batch = policy.collate(examples)
        batch.visits = torch.full((32,), step)
        loss = objective(policy.scores(batch), reference.scores(policy, batch), batch.relations).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    reward = ImplicitReward(policy.denoiser, reference.copy.denoiser)
    held_out = torch.from_numpy(chunks[32:]).float()
    best = ranked(reward(seen[32:], held_out))[:, 0]
    assert (best == held_out.mean((2, 3)).argmax(1)).float().mean() >= 0.75


def test_equal_rewards_keep_their_order():
    rewards = torch.tensor([[0.0, 2.0, 1.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
    assert ranked(rewards).tolist() == [[1, 3, 2, 0], [0, 1, 2, 3]]


def test_models_that_cannot_be_compared_are_refused(small):
    with pytest.raises(PrefalignError, match=r"differ in size or noise path: .*horizon=4.*horizon=5"):
        ImplicitReward(small(), small(horizon=5))
    with pytest.raises(PrefalignError, match=r"sample; .*epsilon"):
        ImplicitReward(small(), small(prediction="epsilon"))
    for wrong in ({"beta": 0.0}, {"draws": 0}, {"rows": 0}):
        with pytest.raises(PrefalignError, match="expected beta > 0 and at least one draw and row"):
            ImplicitReward(small(), **wrong)
    with pytest.raises(PrefalignError, match="min_snr_gamma > 0, got -1"):
        ImplicitReward(small(), min_snr_gamma=-1.0)
