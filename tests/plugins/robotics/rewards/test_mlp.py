"""Rewards of each step by itself."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.plugins.robotics.rewards.conftest import record, trajectory

from prefalign.interfaces import PrefalignError
from prefalign.rewards.combine import Ensemble
from prefalign_robotics.rewards.mlp import MarkovReward
from prefalign_robotics.rewards.trajectory import deviation


def made(**options):
    reward = MarkovReward(3, 2, **{"hidden": [8, 8], **options})
    reward.configure_model()
    return reward


def batch_of(reward, records):
    return reward.codec.collate([reward.codec.encode(one) for one in records])


def test_a_linear_reward_by_hand():
    """w = (1, 0, −1, 0.5, 0), b = 0.25, scale untouched: step (1, 2, 3 | 2, 9) gives 1 − 3 + 1 + 0.25 = −0.75."""
    reward = made(hidden=[]).eval()
    with torch.no_grad():
        reward.network.layers[0].weight.copy_(torch.tensor([[1.0, 0.0, -1.0, 0.5, 0.0]]))
        reward.network.layers[0].bias.fill_(0.25)
    first, second = trajectory(2, 0), trajectory(3, 1)
    first.arrays["observations"][:] = [[1, 2, 3], [0, 0, 0]]
    first.arrays["actions"][:] = [[2, 9], [0, 0]]
    found = reward(batch_of(reward, [record(first, second)]))
    assert found.mean.shape == (2, 3, 1)
    assert found.variance is None
    assert found.mean[0, :2, 0].tolist() == pytest.approx([-0.75, 0.25])
    assert found.totals().mean[0].item() == pytest.approx(-0.5)
    assert found.valid.tolist() == [True, True]


def test_a_step_does_not_know_its_neighbours_or_the_padding(records):
    reward = made().eval()
    together = reward(batch_of(reward, records))
    for index, one in enumerate(records):
        alone = reward(batch_of(reward, [one]))
        rows = slice(2 * index, 2 * index + 2)
        torch.testing.assert_close(alone.totals().mean, together.totals().mean[rows])
    again = batch_of(reward, records)
    again.inputs["observations"][~again.inputs["mask"]] = 1e6
    torch.testing.assert_close(reward(again).totals().mean, together.totals().mean)


def test_deviations_stay_within_bounds_and_always_have_a_slope():
    raw = torch.tensor([-30.0, -5.0, 0.0, 3.0, 30.0], dtype=torch.float64, requires_grad=True)
    found = deviation(raw)
    assert (found >= math.exp(-5)).all()
    assert (found <= math.exp(3)).all()
    assert found[2].item() == pytest.approx(math.exp(-1 + 4 * math.tanh(0.25)))
    assert (torch.autograd.grad(found.log().sum(), raw)[0] > 0).all()


def test_gaussian_steps_have_variances_that_add_up(records):
    reward = made(gaussian=True).eval()
    found = reward(batch_of(reward, records))
    assert found.variance.shape == found.mean.shape
    torch.testing.assert_close(found.totals().variance[0], found.variance[0, :2].sum(0))
    raw = reward.read(batch_of(reward, records))[..., 1:]
    torch.testing.assert_close(found.variance, deviation(raw) ** 2)


def test_inputs_are_standardised_by_what_training_met(records):
    """The same numbers in other units give the same rewards, once both have been measured."""
    plain, other = made(), made()
    moved = [
        record(
            *(type(r)(arrays={n: (v * 50 + 7).astype("float32") for n, v in r.arrays.items()}) for r in one.responses),
            name=one.id,
        )
        for one in records
    ]
    first, second = plain(batch_of(plain, records)), other(batch_of(other, moved))
    torch.testing.assert_close(first.totals().mean, second.totals().mean, rtol=1e-3, atol=1e-4)
    assert plain.observation_scale.count == 27
    untouched = made().eval()
    untouched(batch_of(untouched, records))
    assert untouched.observation_scale.count == 0


def test_scales_can_be_fitted_to_all_records_at_once(records):
    reward = made()
    reward.fit_scales(records)
    steps = torch.cat([torch.tensor(r.arrays["observations"]) for one in records for r in one.responses])
    torch.testing.assert_close(reward.observation_scale.mean, steps.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(reward.observation_scale.deviation, steps.std(0, correction=0))
    reward(batch_of(reward, records[:1]))
    assert reward.observation_scale.count == reward.action_scale.count == 27


@pytest.mark.parametrize("gaussian", [False, True])
def test_saved_and_loaded_it_says_the_same(records, tmp_path, gaussian):
    reward = made(gaussian=gaussian, every=2, init_seed=3)
    reward(batch_of(reward, records))
    reward.save_pretrained(tmp_path / "out")
    loaded = MarkovReward.from_pretrained(tmp_path / "out").eval()
    expected, found = (r(batch_of(r, records)) for r in (reward.eval(), loaded))
    assert torch.equal(expected.mean, found.mean)
    assert expected.variance is None or torch.equal(expected.variance, found.variance)
    assert loaded.codec.fingerprint() == reward.codec.fingerprint()
    assert loaded.observation_scale.count == reward.observation_scale.count > 0
    started = MarkovReward(3, 2, [8, 8], gaussian, 2, weights=str(tmp_path / "out"))
    started.configure_model()
    assert torch.equal(started.eval()(batch_of(started, records)).mean, found.mean)


def test_seeds_make_members_and_leave_the_global_generator_alone(records):
    state = torch.get_rng_state()
    one, same, other = made(init_seed=1), made(init_seed=1), made(init_seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.network.layers[0].weight, same.network.layers[0].weight)
    assert not torch.equal(one.network.layers[0].weight, other.network.layers[0].weight)
    weights = one.network.layers[0].weight
    one.configure_model()
    assert one.network.layers[0].weight is weights


def test_members_that_disagree_give_an_ensemble_variance(records):
    ensemble = Ensemble([made(init_seed=seed) for seed in range(3)])
    ensemble.configure_model()
    batch = ensemble.codec.collate([ensemble.codec.encode(one) for one in records])
    found = ensemble(batch)
    assert all(member.observation_scale.count == 27 for member in ensemble.rewards)
    totals = torch.stack([part.totals().mean for part in found.parts])
    torch.testing.assert_close(found.totals().mean, totals.mean(0))
    torch.testing.assert_close(found.totals().variance, totals.var(0, correction=0))
    assert (found.totals().variance > 0).all()


def test_autocast_does_not_coarsen_the_rewards(records):
    reward = made().eval()
    exact = reward(batch_of(reward, records)).mean
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(reward(batch_of(reward, records)).mean, exact)


def test_what_is_refused(records, tmp_path):
    reward = MarkovReward(3, 2)
    with pytest.raises(PrefalignError, match="call configure_model first"):
        reward(batch_of(reward, records))
    with pytest.raises(PrefalignError, match="call configure_model first"):
        MarkovReward(3, 2).save_pretrained(tmp_path)
    with pytest.raises(PrefalignError, match="at least 1 unit"):
        MarkovReward(3, 2, [0])
    with pytest.raises(PrefalignError, match="so this is no reward of trajectories"):
        MarkovReward.from_pretrained(tmp_path)


def saved(tmp_path, **changes):
    made().save_pretrained(tmp_path)
    file = tmp_path / "trajectory_reward.json"
    content = json.loads(file.read_text())
    content["settings"] |= changes.pop("settings", {})
    file.write_text(json.dumps(content | changes))
    return tmp_path


def test_damaged_folders_are_named(tmp_path):
    with pytest.raises(PrefalignError, match="holds a Other, not a MarkovReward"):
        MarkovReward.from_pretrained(saved(tmp_path / "a", **{"class": "Other"}))
    with pytest.raises(PrefalignError, match="do not fit this version"):
        MarkovReward.from_pretrained(saved(tmp_path / "b", settings={"colour": 1}))
    with pytest.raises(PrefalignError, match="cannot be loaded"):
        MarkovReward.from_pretrained(saved(tmp_path / "c", settings={"hidden": [9]}))
    folder = saved(tmp_path / "d")
    (folder / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(PrefalignError, match="cannot be loaded"):
        MarkovReward.from_pretrained(folder)
    (saved(tmp_path / "e") / "trajectory_reward.json").write_text('{"class": "MarkovReward"')
    with pytest.raises(PrefalignError, match="was it cut off"):
        MarkovReward.from_pretrained(tmp_path / "e")
    reward = MarkovReward(3, 2, [9], weights=str(saved(tmp_path / "f")))
    with pytest.raises(PrefalignError, match=r"settings {'hidden': \[8, 8\]}"):
        reward.configure_model()
    tensors = load_file(saved(tmp_path / "g") / "model.safetensors")
    tensors.pop("network.layers.0.bias")
    save_file(tensors, tmp_path / "g" / "model.safetensors")
    with pytest.raises(PrefalignError, match="cannot be loaded"):
        MarkovReward.from_pretrained(tmp_path / "g")
