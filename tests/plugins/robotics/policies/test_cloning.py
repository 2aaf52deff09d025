"""Cloning imitates what it is given, and nothing else."""

import logging

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from prefalign_robotics.policies.cloning import CloningPolicy, best_share, clone
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.episodes import Episodes


def make_episodes(count=8, steps=30, seed=0, slope=0.5):
    """Actions follow the first observation, which moves little beside the second; the third never moves."""
    generator = np.random.default_rng(seed)
    observations = generator.standard_normal((count, steps, 3)).astype(np.float32) * [0.01, 10, 0] + [0.5, 0, 7]
    actions = np.stack([slope * 100 * (observations[..., 0] - 0.5), np.full((count, steps), -0.2)], -1)
    return Episodes(
        observations.astype(np.float32),
        np.clip(actions, -1, 1).astype(np.float32),
        generator.uniform(0, 10, (count, steps)).astype(np.float32),
        np.zeros((count, steps), bool),
        np.full(count, "expert"),
        np.zeros(count, np.float32),
        np.arange(count),
        "toy",
    )


def small(episodes, **options):
    return clone(episodes, 150, width=32, batch_size=64, learning_rate=5e-3, **options)


@pytest.fixture(scope="module")
def policy():
    return small(make_episodes())


def test_it_acts_like_the_episodes_on_unseen_observations(policy):
    unseen = make_episodes(seed=1)
    found = policy.act(unseen.observations.reshape(-1, 3))
    assert found.dtype == np.float32
    assert np.abs(found - unseen.actions.reshape(-1, 2)).mean() < 0.05
    assert np.abs(policy.act(np.full((4, 3), 1e6))).max() <= 1


def test_observations_are_standardised_and_what_never_moves_is_centred(policy):
    observations = torch.from_numpy(make_episodes().observations.reshape(-1, 3))
    scale = policy.actor.scale
    assert scale.mean == pytest.approx(observations.mean(0), abs=1e-3)
    assert scale.deviation[:2] == pytest.approx(observations.std(0, correction=0)[:2], rel=1e-4)
    assert scale.deviation[2] == 1


def test_a_seed_gives_the_same_policy_and_leaves_the_global_generator_alone(policy):
    state = torch.get_rng_state()
    again, other = small(make_episodes()), small(make_episodes(), seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    seen = make_episodes(seed=2).observations[0]
    assert np.array_equal(again.act(seen), policy.act(seen))
    assert not np.array_equal(other.act(seen), policy.act(seen))


def test_a_checkpoint_gives_the_policy_back(policy, tmp_path):
    trainer = Trainer(
        max_steps=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path, enable_checkpointing=False,
    )  # fmt: skip
    trained = small(make_episodes(), trainer=trainer)
    assert trainer.global_step == 2
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = CloningPolicy.load_from_checkpoint(tmp_path / "a.ckpt", map_location="cpu")
    seen = make_episodes(seed=2).observations[0]
    assert np.array_equal(loaded.act(seen), trained.act(seen))
    assert not np.array_equal(loaded.act(seen), policy.act(seen))


def test_filtered_cloning_imitates_the_chosen():
    good, bad = make_episodes(2), make_episodes(6, seed=3, slope=-0.5)
    mixed = Episodes(
        *(np.concatenate([getattr(bad, n), getattr(good, n)]) for n in list(bad.__dict__)[:-1]), task="toy"
    )
    scores = np.array([0, 1, 2, 0, 1, 2, 5, 9.0])
    chosen = best_share(mixed, scores)
    assert chosen.observations.shape[0] == 2
    assert np.array_equal(chosen.actions, good.actions[::-1])
    seen = make_episodes(seed=4)
    found = small(chosen).act(seen.observations.reshape(-1, 3))
    assert np.abs(found - seen.actions.reshape(-1, 2)).mean() < 0.1


def test_shares_round_and_keep_the_earlier_of_equals():
    episodes = make_episodes(7)
    assert best_share(episodes, np.array([1, 2, 2, 0, 2, 1, 1.0]), 0.3).instances.tolist() == [1, 2]
    assert best_share(episodes, np.arange(7.0), 0.01).instances.tolist() == [6]
    assert len(best_share(episodes, np.arange(7.0), 1)) == 7


def test_what_cannot_be_cloned_is_refused():
    episodes = make_episodes()
    with pytest.raises(SegmentError, match="got 8 episodes, 0 steps"):
        clone(episodes, 0)
    with pytest.raises(SegmentError, match="got 0 episodes"):
        clone(episodes.select(np.arange(0)))
    with pytest.raises(SegmentError, match="a number for each of 8 episodes"):
        best_share(episodes, np.zeros(7))
    with pytest.raises(SegmentError, match="a number for each of 8 episodes"):
        best_share(episodes, np.full(8, np.nan))
    with pytest.raises(SegmentError, match=r"share of the episodes in \(0, 1\], got 25"):
        best_share(episodes, np.zeros(8), 25)


def test_the_own_trainer_writes_nothing(tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.WARNING):
        small(make_episodes())
    assert not any(tmp_path.iterdir())
    assert capsys.readouterr().out == ""
