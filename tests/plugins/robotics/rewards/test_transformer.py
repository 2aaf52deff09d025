"""The Preference Transformer."""

import pytest
import torch
from tests.plugins.robotics.rewards.conftest import record, trajectory

from prefalign.interfaces import PrefalignError, RecordError
from prefalign_robotics.rewards.transformer import PreferenceTransformerReward

SIZES = {"max_steps": 8, "width": 16, "layers": 2, "heads": 2}


def made(**options):
    reward = PreferenceTransformerReward(3, 2, **{**SIZES, **options})
    reward.configure_model()
    # Transformers starts so small that all steps would look alike.
    with torch.no_grad():
        for parameter in reward.network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return reward.eval()


def batch_of(reward, records):
    return reward.codec.collate([reward.codec.encode(one) for one in records])


def test_weights_sum_to_one_over_the_steps_that_exist(records):
    reward = made()
    batch = batch_of(reward, records)
    judged, mask = reward.read(batch), batch.inputs["mask"]
    torch.testing.assert_close(judged.weights.sum(1), torch.ones(6))
    assert (judged.weights[~mask] == 0).all()
    assert (judged.weights[mask] > 0).all()
    assert judged.weights[5, :7].std() > 1e-3
    found = reward(batch)
    torch.testing.assert_close(found.mean[..., 0], judged.weights * judged.rewards)
    torch.testing.assert_close(found.totals().mean[:, 0], (judged.weights * judged.rewards).sum(1))


def test_the_weights_are_the_mean_attention_written_out(records):
    """One row, query by query: softmax of q·k/√width over all its steps, later ones included."""
    reward = made()
    batch = batch_of(reward, records[2:])
    hidden = []
    reward.network.head.register_forward_hook(lambda _, __, output: hidden.append(output))
    judged = reward.read(batch)
    for row, steps in enumerate((4, 7)):
        query, key = hidden[0][row, :steps, :16], hidden[0][row, :steps, 16:32]
        weights = sum(torch.softmax(torch.stack([q @ k for k in key]) / 4, 0) for q in query) / steps
        torch.testing.assert_close(judged.weights[row, :steps], weights)


def test_padding_and_neighbours_change_nothing(records):
    reward = made()
    together = reward(batch_of(reward, records)).totals().mean
    for index, one in enumerate(records):
        alone = reward(batch_of(reward, [one])).totals().mean
        torch.testing.assert_close(alone, together[2 * index : 2 * index + 2], rtol=1e-4, atol=1e-5)
    again = batch_of(reward, records)
    again.inputs["observations"][~again.inputs["mask"]] = 1e3
    torch.testing.assert_close(reward(again).totals().mean, together, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["observations", "actions"])
def test_step_rewards_see_their_past_and_themselves_only(name):
    """Changing step 3 leaves the rewards of steps 0 to 2 as they were and moves those from step 3 on."""
    reward = made()
    batch = batch_of(reward, [record(trajectory(6, 0), trajectory(6, 1))])
    before = reward.step_rewards(batch)
    batch.inputs[name][0, 3] += 1.0
    after = reward.step_rewards(batch)
    torch.testing.assert_close(before[0, :3], after[0, :3])
    assert ((before[0, 3:] - after[0, 3:]).abs() > 1e-4).all()
    assert torch.equal(before[1], after[1])


def test_step_rewards_are_zero_after_the_end(records):
    reward = made()
    found = reward.step_rewards(batch_of(reward, records))
    assert (found[0, 2:] == 0).all()
    assert (found[0, :2] != 0).all()


def test_time_matters():
    reward, one = made(), record(trajectory(6, 0), trajectory(6, 1))
    one.responses[1].arrays["observations"][:] = one.responses[0].arrays["observations"][::-1]
    one.responses[1].arrays["actions"][:] = one.responses[0].arrays["actions"][::-1]
    first, second = reward(batch_of(reward, [one])).totals().mean[:, 0]
    assert abs(first - second) > 1e-3


def test_the_tokens_are_action_then_observation_with_the_time_of_their_step(records):
    reward, seen = made(), []
    reward.network.trunk.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    batch = batch_of(reward, records)
    reward(batch)
    network, (observations, actions, _) = reward.network, reward.inputs(batch)
    for step in range(7):
        when = network.time.weight[step]
        torch.testing.assert_close(seen[0][:, 2 * step], network.norm(network.action(actions[:, step]) + when))
        observed = network.norm(network.observation(observations[:, step]) + when)
        torch.testing.assert_close(seen[0][:, 2 * step + 1], observed)


def test_gaussian_deviations_are_weighted(records):
    reward = made(gaussian=True)
    batch = batch_of(reward, records)
    judged, found = reward.read(batch), reward(batch)
    torch.testing.assert_close(found.variance[..., 0], (judged.weights * judged.deviations) ** 2)
    torch.testing.assert_close(found.totals().variance[:, 0], ((judged.weights * judged.deviations) ** 2).sum(1))


def test_every_trainable_weight_is_trained(records):
    """Distributed training waits for ever for a parameter without gradient."""
    reward = made(gaussian=True).train()
    found = reward(batch_of(reward, records)).totals()
    (found.mean.square().sum() + found.variance.sum()).backward()
    for name, parameter in reward.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
    assert not reward.network.trunk.wpe.weight.any()


def test_saved_and_loaded_it_says_the_same(records, tmp_path):
    reward = made(gaussian=True, every=2)
    reward.save_pretrained(tmp_path)
    loaded = PreferenceTransformerReward.from_pretrained(tmp_path).eval()
    expected, found = (r(batch_of(r, records)) for r in (reward, loaded))
    assert torch.equal(expected.mean, found.mean)
    assert torch.equal(expected.variance, found.variance)


def test_what_is_refused():
    for options in ({"width": 10, "heads": 4}, {"layers": 0}, {"dropout": 1.0}, {"heads": 0}):
        with pytest.raises(PrefalignError, match="expected"):
            PreferenceTransformerReward(3, 2, **{**SIZES, **options})
    with pytest.raises(RecordError, match="9 steps are kept, and the reward reads 8 at most"):
        PreferenceTransformerReward(3, 2, **SIZES).codec.encode(record(trajectory(9, 0), trajectory(3, 1)))
