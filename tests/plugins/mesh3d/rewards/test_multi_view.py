"""The multi-view reward: what it remembers, saves and learns."""

import json
import random

import pytest
import torch
from lightning.pytorch import Trainer

from prefalign.data.module import PreferenceDataModule
from prefalign.data.store import write_parquet
from prefalign.interfaces import PrefalignError, Response
from prefalign.objectives.reward_modelling import BradleyTerry
from prefalign.training.reward_learning import RewardLearning
from prefalign_mesh3d.rewards.multi_view import PUBLISHED_OFFSET, PUBLISHED_SCALE, MultiViewReward
from prefalign_mesh3d.rewards.view_encoders import PixelViews
from prefalign_mesh3d.rewards.views import Ring
from prefalign_mesh3d.tokenizers.coord9 import Coord9

RING = Ring(size=24, supersample=1)


class Counting(PixelViews):
    """Pixels that count how many rows they were asked for, and keep their prompts."""

    def __init__(self, side=4):
        super().__init__(side)
        self.rows, self.prompts = 0, []

    def forward(self, images, prompts):
        self.rows += len(images)
        self.prompts += [list(row) for row in prompts]
        return super().forward(images, prompts)


def batch_of(reward, *records):
    return reward.codec.collate([reward.codec.encode(record) for record in records])


def loaded(encoder=None, **options):
    reward = MultiViewReward(encoder or PixelViews(4), ring=RING, **options).eval()
    reward.configure_model()
    return reward


@pytest.mark.parametrize("variant", ["concat", "fusion"])
def test_rewards_are_the_heads_numbers_and_empty_meshes_are_not_valid(box, shown, viewed, variant):
    reward = MultiViewReward(
        PixelViews(4), Coord9(levels=16), RING, variant, offset=PUBLISHED_OFFSET, scale=PUBLISHED_SCALE
    ).eval()
    reward.configure_model()
    out = reward(batch_of(reward, viewed(shown(box()), Response(token_ids=()), shown(box(1, 1, 3)))))
    assert out.valid.tolist() == [True, False, True]
    assert out.mean[1].item() == 0
    vectors = PixelViews(4)(torch.stack([RING.views(box()), RING.views(box(1, 1, 3))]), [])
    expected = (reward.head(vectors) - 0.16717) / 1.03334
    assert torch.allclose(out.mean[[0, 2], 0], expected, atol=1e-5)


def test_each_mesh_is_drawn_and_encoded_once(box, shown, viewed):
    encoder = Counting()
    reward = loaded(encoder)
    record = viewed(shown(box()), shown(box(2)), shown(box()))
    first = reward(batch_of(reward, record)).mean
    assert encoder.rows == 2
    sides = ["front", "side", "back", "side"]
    assert encoder.prompts == [[f"a box, {side} view" for side in sides]] * 2
    assert torch.equal(first[0], first[2])
    assert torch.equal(reward(batch_of(reward, record)).mean, first)
    assert encoder.rows == 2


def test_vectors_are_kept_between_runs(box, shown, viewed, tmp_path):
    record = viewed(shown(box()), shown(box(2)))
    first = loaded(Counting(), cache=str(tmp_path))
    expected = first(batch_of(first, record)).mean
    again, other = Counting(), Counting(5)
    second = loaded(again, cache=str(tmp_path))
    assert torch.equal(second(batch_of(second, record)).mean, expected)
    assert again.rows == 0
    third = loaded(other, cache=str(tmp_path))
    third(batch_of(third, record))
    assert other.rows == 2
    for file in tmp_path.glob("*/*.safetensors"):
        file.write_bytes(b"damaged")
    with pytest.raises(PrefalignError, match=r"damaged .*delete it"):
        loaded(Counting(), cache=str(tmp_path))


def test_gradients_reach_the_head_and_no_encoder(box, shown, viewed):
    reward = loaded(torch_encoder := Linear())
    reward(batch_of(reward, viewed(shown(box()), shown(box(2))))).mean.sum().backward()
    assert all(parameter.grad is not None for parameter in reward.head.parameters())
    assert torch_encoder.weight.weight.grad is None
    assert not any("weight.weight" in name for name in reward.state_dict())


class Linear(PixelViews):
    """Pixels and a layer of weights."""

    def __init__(self):
        super().__init__(4)
        self.weight = torch.nn.Linear(48, 48)

    def forward(self, images, prompts):
        return self.weight(super().forward(images, prompts))


@pytest.mark.parametrize("variant", ["concat", "fusion"])
def test_saved_and_loaded_it_is_the_same(box, shown, viewed, tmp_path, variant):
    reward = loaded(variant=variant, offset=0.5, scale=2.0, init_seed=7)
    batch = batch_of(reward, viewed(shown(box()), shown(box(2))))
    reward.save_pretrained(tmp_path / "saved")
    again = MultiViewReward.from_pretrained(tmp_path / "saved", PixelViews(4))
    assert not again.training
    assert torch.equal(again(batch).mean, reward(batch).mean)
    assert again.codec.ring == RING
    assert again.fingerprint() == reward.fingerprint()
    assert loaded(variant=variant, init_seed=8).fingerprint() != reward.fingerprint()


def test_refuses_other_encoders_settings_and_folders(tmp_path):
    loaded().save_pretrained(tmp_path / "saved")
    with pytest.raises(PrefalignError, match="trained with encoder_fingerprint"):
        MultiViewReward.from_pretrained(tmp_path / "saved", PixelViews(5))
    with pytest.raises(PrefalignError, match="trained with variant concat, not fusion"):
        loaded(variant="fusion", head=str(tmp_path / "saved"))
    with pytest.raises(PrefalignError, match=r"no multi_view_reward\.json"):
        MultiViewReward.from_pretrained(tmp_path, PixelViews(4))
    with pytest.raises(PrefalignError, match="unknown variant 'concatenate'"):
        MultiViewReward(PixelViews(4), variant="concatenate")
    with pytest.raises(PrefalignError, match="expected 0 <= dropout < 1"):
        MultiViewReward(PixelViews(4), dropout=1.0)
    with pytest.raises(PrefalignError, match="call configure_model first"):
        MultiViewReward(PixelViews(4)).save_pretrained(tmp_path / "no")
    assert set(json.loads((tmp_path / "saved" / "multi_view_reward.json").read_text())) >= {"variant", "ring"}


def ranked(count, seed, box, shown, viewed):
    """Three boxes each, the tallest best; their other sides are drawn anew, so no one view says it all."""
    draw = random.Random(seed)
    records = []
    for index in range(count):
        shapes = sorted((tuple(draw.uniform(0.4, 1.6) for _ in "xyz") for _ in range(3)), key=lambda s: -s[2] / sum(s))
        order = draw.sample(range(3), 3)
        responses = [shown(box(*shapes[place])) for place in order]
        records.append(viewed(*responses, id=f"{seed}-{index}", ranks=tuple(order)))
    return records


@pytest.mark.parametrize("variant", ["concat", "fusion"])
def test_rankings_of_what_can_be_seen_are_learned(box, shown, viewed, tmp_path, variant):
    """From chance to 85 of 100 pairs of shapes that training did not see."""
    for name, count, seed in (("train", 40, 0), ("val", 20, 1)):
        write_parquet(ranked(count, seed, box, shown, viewed), tmp_path / f"{name}.parquet")
    encoder = Counting(6)
    reward = MultiViewReward(encoder, ring=RING, variant=variant)
    module = RewardLearning(reward, BradleyTerry(), optimizer=lambda p: torch.optim.Adam(p, lr=5e-4))
    data = PreferenceDataModule(
        train=str(tmp_path / "train.parquet"), val=str(tmp_path / "val.parquet"), batch_size=10, keep_encoded=True
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=8,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, data)
    assert float(trainer.callback_metrics["val/accuracy"]) > 0.85
    assert encoder.rows == 180
