"""The reward of triplets: values by hand, precision, saving."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.plugins.robotics.rewards.alignment.conftest import record, trajectory

from prefalign.interfaces import Pair, PrefalignError
from prefalign.objectives.reward_modelling import BradleyTerry
from prefalign_robotics.rewards.alignment.encoders import IdentityEncoder, PerceptronEncoder, StepEncoder
from prefalign_robotics.rewards.alignment.reward import AlignedReward

BOTH, FIRST_TWICE, NEARLY = trajectory([1, 0], [0, 1]), trajectory([2, 0], [3, 0]), trajectory([1, 0.2], [0, 1])


def batch_of(reward, *records):
    return reward.codec.collate([reward.codec.encode(one) for one in records])


def made(**options):
    reward = AlignedReward(PerceptronEncoder(2, **{"hidden": [8], "width": 4, **options}))
    reward.configure_model()
    return reward


def test_a_triplet_by_hand():
    """Anchor (e1, e2). R is −σ(−1) = −0.26894 for itself (`test_transport`) and −1/2 for e1 twice.

    P = σ(1/2 − 0.26894) = 0.55751, and the loss −log P = 0.58427.
    """
    reward = AlignedReward(IdentityEncoder(2))
    batch = batch_of(reward, record(BOTH, BOTH, FIRST_TWICE))
    found = reward(batch)
    near = -1 / (1 + math.e)
    assert found.mean.shape == (2, 2, 1)
    assert found.totals().mean[:, 0].tolist() == pytest.approx([near, -0.5], abs=1e-6)
    assert found.mean[1, :, 0].tolist() == pytest.approx([-0.25, -0.25], abs=1e-6)
    assert reward.compare(batch).item() == pytest.approx(0.557509, abs=1e-6)
    assert BradleyTerry()(found, batch.relations).loss.item() == pytest.approx(-math.log(0.557509), abs=1e-5)
    assert found.valid.tolist() == [True, True]


def test_equals_have_even_chances():
    reward = made()
    batch = batch_of(reward, record(BOTH, NEARLY, NEARLY, verdict=Pair(0, 1, probability=0.5, tie=True)))
    out = BradleyTerry()(reward(batch), batch.relations)
    assert out.loss.item() == pytest.approx(math.log(2))


def test_gradients_reach_the_encoder_from_the_anchor_too():
    """Through the loss, in float64, against finite differences of a weight."""
    reward = made().double()
    batch = batch_of(reward, record(BOTH, NEARLY, FIRST_TWICE), record(FIRST_TWICE, trajectory([1, 1]), BOTH, name="s"))
    weight, objective = reward.encoder.network[0].weight, BradleyTerry()
    reward.eval()
    loss = objective(reward(batch), batch.relations).loss
    assert loss.dtype == torch.float64
    slope = torch.autograd.grad(loss, weight)[0]
    direction = torch.randn(weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    losses = []
    with torch.no_grad():
        for step in (1e-6, -1e-6):
            weight += step * direction
            losses.append(objective(reward(batch), batch.relations).loss.item())
            weight -= step * direction
    assert (slope * direction).sum().item() == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-6)


def test_company_and_padding_change_nothing():
    reward = made().eval()
    records = [
        record(BOTH, NEARLY, FIRST_TWICE),
        record(trajectory(*[[i, 1] for i in range(9)]), BOTH, NEARLY, name="s"),
    ]
    together = reward(batch_of(reward, *records)).totals().mean
    for index, one in enumerate(records):
        torch.testing.assert_close(reward(batch_of(reward, one)).totals().mean, together[2 * index : 2 * index + 2])


def test_what_cannot_be_judged_is_not_valid():
    reward = AlignedReward(IdentityEncoder(2))
    batch = batch_of(reward, record(BOTH, NEARLY, trajectory([0, 0], [1, 1])))
    assert reward(batch).valid.tolist() == [True, False]
    assert BradleyTerry()(reward(batch), batch.relations).per_sample.tolist() == []
    hurried = AlignedReward(IdentityEncoder(2), epsilon=0.01, iterations=1)
    steps = [[math.cos(t), math.sin(t)] for t in range(12)]
    assert hurried(
        batch_of(hurried, record(trajectory(*steps), FIRST_TWICE, trajectory(*steps[:5])))
    ).valid.tolist() == [
        True,
        False,
    ]


def test_autocast_does_not_coarsen_the_rewards():
    reward = made().eval()
    batch = batch_of(reward, record(BOTH, NEARLY, FIRST_TWICE))
    exact = reward(batch).mean
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(reward(batch).mean, exact)


def test_saved_and_loaded_it_says_the_same(tmp_path):
    reward = AlignedReward(PerceptronEncoder(2, [8], 4, init_seed=3), epsilon=0.2, iterations=77, every=2)
    reward.configure_model()
    batch = batch_of(reward, record(BOTH, NEARLY, FIRST_TWICE))
    reward(batch)  # measures the scale
    reward.save_pretrained(tmp_path / "out")
    loaded = AlignedReward.from_pretrained(tmp_path / "out")
    assert torch.equal(loaded.eval()(batch).mean, reward.eval()(batch).mean)
    assert (loaded.epsilon, loaded.iterations, loaded.codec.every) == (0.2, 77, 2)
    assert loaded.codec.fingerprint() == reward.codec.fingerprint()
    assert loaded.encoder.scale.count == reward.encoder.scale.count > 0


def test_seeds_make_members_and_leave_the_global_generator_alone():
    state = torch.get_rng_state()
    one, same, other = (made(init_seed=seed).encoder.network[0].weight for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_published_encoder_is_a_linear_map_to_32():
    encoder = PerceptronEncoder(512, [], array="features")
    encoder.configure_model()
    assert [tuple(p.shape) for p in encoder.parameters()] == [(32, 512), (32,)]
    assert AlignedReward(encoder).codec.array == "features"


class Odd(StepEncoder):
    settings = None

    def forward(self, steps, mask):
        return steps


def test_what_is_refused(tmp_path):
    unbuilt = AlignedReward(PerceptronEncoder(2))
    with pytest.raises(PrefalignError, match="call configure_model first"):
        unbuilt(batch_of(unbuilt, record(BOTH, NEARLY, FIRST_TWICE)))
    for options in ({"epsilon": 0.0}, {"epsilon": float("nan")}, {"iterations": 0}):
        with pytest.raises(PrefalignError, match="expected epsilon > 0"):
            AlignedReward(IdentityEncoder(2), **options)
    for encoder in (
        lambda: IdentityEncoder(0),
        lambda: PerceptronEncoder(2, width=0),
        lambda: PerceptronEncoder(2, [0]),
    ):
        with pytest.raises(PrefalignError, match="at least 1"):
            encoder()
    with pytest.raises(PrefalignError, match="Odd is none of the encoders"):
        AlignedReward(Odd(2, 2, "observations")).save_pretrained(tmp_path)


def changed(tmp_path, **changes):
    made().save_pretrained(tmp_path)
    file = tmp_path / "aligned_reward.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return tmp_path


def test_damaged_folders_are_named(tmp_path):
    with pytest.raises(PrefalignError, match="so this is no reward by transport"):
        AlignedReward.from_pretrained(tmp_path)
    with pytest.raises(PrefalignError, match="holds a Other, not a AlignedReward"):
        AlignedReward.from_pretrained(changed(tmp_path / "a", **{"class": "Other"}))
    with pytest.raises(PrefalignError, match=r"names an encoder 'os\.system'"):
        AlignedReward.from_pretrained(changed(tmp_path / "b", encoder={"class": "os.system", "settings": {}}))
    encoder = {"class": "PerceptronEncoder", "settings": {"colour": 1}}
    with pytest.raises(PrefalignError, match="the encoder's settings do not fit"):
        AlignedReward.from_pretrained(changed(tmp_path / "c", encoder=encoder))
    with pytest.raises(PrefalignError, match="the settings do not fit"):
        AlignedReward.from_pretrained(changed(tmp_path / "d", settings={"colour": 1}))
    with pytest.raises(PrefalignError, match="was it cut off"):
        AlignedReward.from_pretrained(changed(tmp_path / "e", encoder=None))
    (changed(tmp_path / "f") / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(PrefalignError, match="cannot be loaded"):
        AlignedReward.from_pretrained(tmp_path / "f")
    tensors = load_file(changed(tmp_path / "g") / "model.safetensors")
    tensors.pop("network.0.bias")
    save_file(tensors, tmp_path / "g" / "model.safetensors")
    with pytest.raises(PrefalignError, match="cannot be loaded"):
        AlignedReward.from_pretrained(tmp_path / "g")
