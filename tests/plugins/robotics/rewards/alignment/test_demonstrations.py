"""Rewards from demonstrations: values by hand, the choice of a demonstration, batches, files, doubts."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.plugins.robotics.rewards.alignment.conftest import record, trajectory

from prefalign.interfaces import PrefalignError
from prefalign_robotics.policies.cloning import best_share
from prefalign_robotics.rewards.alignment import demonstrations as module
from prefalign_robotics.rewards.alignment.demonstrations import DemonstrationReward
from prefalign_robotics.rewards.alignment.encoders import IdentityEncoder, PerceptronEncoder
from prefalign_robotics.rewards.alignment.reward import AlignedReward
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.episodes import Episodes

BOTH = np.eye(2, dtype=np.float32)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def scored(demonstrations, rollouts, **options):
    return DemonstrationReward(demonstrations, **options).score(np.asarray(rollouts, np.float32))


@pytest.mark.parametrize(
    ("squashing", "expected"),
    [
        ("none", lambda r: r),
        ("otr", lambda r: 5 * math.exp(5 * 2 / 2 * r)),  # T = 2 steps, F = 2 numbers
        ("otr_antmaze", lambda r: 5 * math.exp(2 * r)),
        ("rapl", lambda r: -10_000 * r**2),
    ],
)
def test_two_steps_by_hand(squashing, expected):
    """At ε = 1, e1 and e2 against themselves pay r = −σ(−1)/2 each (`test_transport`)."""
    found = scored([BOTH], BOTH[None], epsilon=1.0, squashing=squashing)
    each = -0.5 / (1 + math.e)
    assert found.dtype == np.float32
    assert found[0].tolist() == pytest.approx([expected(each)] * 2, rel=1e-5)


@pytest.mark.parametrize(("squashing", "chosen"), [("none", 0), ("rapl", 0), ("otr", 1), ("otr_antmaze", 0)])
def test_otr_chooses_after_squashing_and_rapl_before(squashing, chosen):
    """Demonstrations of one step leave the plan no choice. The diagonal costs both steps of the rollout 0.2929.

    e1 costs them 0 and 1. So the totals are −0.293 and −0.5, but Σ exp(5 r) is 2 exp(−0.732) = 0.962 and
    1 + exp(−2.5) = 1.082; with exp(r) of antmaze 1.487 and 1.368.
    """
    reward = DemonstrationReward([[[1.0, 1.0]], [[1.0, 0.0]]], squashing=squashing)
    reward.configure_model()
    found = reward.judge(torch.from_numpy(BOTH)[None], torch.ones(1, 2, dtype=torch.bool))
    assert found.chosen.tolist() == [chosen]


def test_otr_settings_are_the_published_ones():
    reward = DemonstrationReward([BOTH])
    assert (reward.epsilon, reward.iterations, reward.tolerance, reward.squashing) == (0.01, 100, 1e-9, "otr")
    assert len(DemonstrationReward(drawn(12, 3, 2)).demonstrations) == 10
    assert len(DemonstrationReward(drawn(12, 3, 2), count=None).demonstrations) == 12


def test_all_at_once_is_each_alone(monkeypatch):
    """Rollouts and demonstrations of several lengths, whole and by so few rows that memory takes them one by one."""
    known, rollouts = [drawn(n, 3, seed=n) for n in (4, 7, 5)], drawn(6, 8, 3)
    options = {"epsilon": 0.1, "iterations": 300, "squashing": "none"}
    together = scored(known, rollouts, **options)
    alone = np.stack([scored([one], rollouts, **options) for one in known])
    best = alone.sum(2).argmax(0)
    assert len(set(best)) > 1
    np.testing.assert_allclose(together, alone[best, np.arange(6)], atol=1e-6)
    monkeypatch.setattr(module, "_MOST_ENTRIES", 1)
    np.testing.assert_allclose(scored(known, rollouts, **options), together, atol=1e-6)


def test_demonstrations_get_the_best_rewards_backwards_too():
    """Order does not count, so a demonstration that runs backwards is as good as itself."""
    known, others = drawn(3, 20, 6), drawn(5, 20, 6, seed=1)
    totals = scored(list(known), np.concatenate([known, known[:, ::-1], others]), epsilon=0.005, iterations=2000,
                    squashing="none").sum(1)  # fmt: skip
    assert totals[:6].min() > -1e-3
    assert totals[6:].max() < -0.3


def test_records_are_judged_as_arrays_are():
    """The core's way in, ragged: padding is not judged, and squashed padding is not 5."""
    reward = DemonstrationReward([drawn(5, 2)], epsilon=0.1)
    reward.configure_model()
    long, short = drawn(6, 2, seed=1), drawn(3, 2, seed=2)
    batch = reward.codec.collate([reward.codec.encode(record(None, trajectory(*long), trajectory(*short)))])
    found = reward(batch)
    assert found.mean.shape == (2, 6, 1)
    assert found.valid.tolist() == [True, True]
    np.testing.assert_allclose(found.mean[0, :, 0], reward.score(long[None])[0], rtol=1e-4)
    np.testing.assert_allclose(found.mean[1, :3, 0], reward.score(short[None])[0], rtol=1e-4)
    assert found.mean[1, 3:, 0].tolist() == [0, 0, 0]
    totals = found.totals().mean[:, 0]
    assert reward.compare(batch).item() == pytest.approx(torch.sigmoid(totals[0] - totals[1]).item())


def episodes(count=8, steps=6, seed=0):
    observations = drawn(count, steps, 3, seed=seed)
    zeros = np.zeros((count, steps), np.float32)
    rewards = np.arange(count, dtype=np.float32)[:, None] + zeros
    kinds, numbers = np.array(["expert"] * count), np.zeros(count, np.float32)
    actions = np.zeros((count, steps, 1), np.float32)
    return Episodes(observations, actions, rewards, zeros > 0, kinds, numbers, numbers.astype(np.int64), "toy")


def test_an_archive_gives_the_episodes_of_the_largest_returns(tmp_path):
    given = episodes()
    given.save(tmp_path / "episodes.npz")
    reward = DemonstrationReward(str(tmp_path / "episodes.npz"), count=3, iterations=1000)
    assert np.array_equal(reward.demonstrations, given.observations[[7, 6, 5]])
    assert len(DemonstrationReward(str(tmp_path / "episodes.npz"), count=None).demonstrations) == 8
    scores = reward.score(given)
    assert scores.shape == (8, 6)
    chosen = best_share(given, scores.sum(1), 3 / 8)
    assert sorted(chosen.rewards[:, 0]) == [5, 6, 7]
    with pytest.raises(SegmentError, match="no such file"):
        DemonstrationReward(str(tmp_path / "none.npz"))


def trained(seed=0):
    reward = AlignedReward(PerceptronEncoder(3, [8], 4, init_seed=seed))
    reward.configure_model()
    batch = reward.codec.collate([reward.codec.encode(record(*(trajectory(*drawn(5, 3, seed=i)) for i in range(3))))])
    reward(batch)
    return reward


def test_an_aligned_encoder_is_taken_as_it_is_and_left_as_it_was(tmp_path):
    aligned, known, rollouts = trained(), list(drawn(2, 6, 3)), drawn(3, 7, 3, seed=5)
    aligned.save_pretrained(tmp_path)
    measured = aligned.encoder.scale.count.item()
    reward = DemonstrationReward(known, aligned.encoder, epsilon=1.0)
    found = reward.train().score(rollouts)
    assert aligned.encoder.scale.count == measured
    assert all(p.requires_grad for p in aligned.encoder.parameters())
    assert aligned.encoder.training
    assert not any(p.requires_grad for p in reward.parameters())
    np.testing.assert_array_equal(scored(known, rollouts, encoder=str(tmp_path), epsilon=1.0), found)
    assert not np.allclose(scored(known, rollouts, encoder=trained(1).encoder, epsilon=1.0), found)
    by_triplet = aligned.eval()
    batch = by_triplet.codec.collate(
        [by_triplet.codec.encode(record(trajectory(*known[0]), trajectory(*rollouts[0]), trajectory(*rollouts[1])))]
    )
    plain = scored(known[:1], rollouts, encoder=aligned.encoder, epsilon=1.0, squashing="none")
    np.testing.assert_allclose(by_triplet(batch).mean[:, :, 0].detach(), plain[:2], atol=1e-5)


def test_saved_and_loaded_it_says_the_same(tmp_path):
    known, rollouts = [drawn(4, 3), drawn(6, 3, seed=1)], drawn(3, 7, 3, seed=5)
    for number, encoder in enumerate((None, trained().encoder)):
        reward = DemonstrationReward(known, encoder, epsilon=0.3, iterations=99, tolerance=1e-4, squashing="rapl")
        reward.save_pretrained(tmp_path / str(number))
        loaded = DemonstrationReward.from_pretrained(tmp_path / str(number))
        np.testing.assert_array_equal(loaded.score(rollouts), reward.score(rollouts))
        assert (loaded.iterations, loaded.tolerance) == (99, 1e-4)
    with pytest.raises(PrefalignError, match="holds a DemonstrationReward, not a AlignedReward"):
        AlignedReward.from_pretrained(tmp_path / "0")
    (tmp_path / "0" / "demonstrations.safetensors").write_bytes(b"junk")
    with pytest.raises(PrefalignError, match=r"demonstrations\.safetensors: cannot be loaded"):
        DemonstrationReward.from_pretrained(tmp_path / "0")
    save_file({"0000": torch.zeros(2, 5)}, tmp_path / "1" / "demonstrations.safetensors")
    with pytest.raises(PrefalignError, match=r"demonstration 0: expected shape \(steps, 3\)"):
        DemonstrationReward.from_pretrained(tmp_path / "1")


def test_plans_that_did_not_converge_are_told(recwarn):
    known, rollouts = [drawn(30, 3)], drawn(2, 40, 3, seed=1)
    with pytest.warns(RuntimeWarning, match=r"2 of 2 plans did not converge .* raise iterations \(1\) or epsilon"):
        scored(known, rollouts, epsilon=0.01, iterations=1)
    reward = DemonstrationReward(known, epsilon=0.01, iterations=1)
    reward.configure_model()
    batch = reward.codec.collate([reward.codec.encode(record(None, *(trajectory(*one) for one in rollouts)))])
    assert reward(batch).valid.tolist() == [False, False]
    recwarn.clear()
    scored(known, rollouts, epsilon=0.1, iterations=500)
    assert not recwarn


def test_a_space_that_tells_nothing_apart_is_told():
    with pytest.warns(RuntimeWarning, match="has the encoder collapsed"):
        DemonstrationReward([np.outer(np.arange(1, 5), [1.0, 2.0])]).configure_model()
    DemonstrationReward([BOTH]).configure_model()


def test_steps_without_direction_are_refused():
    zero = np.vstack([BOTH, np.zeros((1, 2))])
    with pytest.raises(PrefalignError, match="demonstration 1: the embedding of step 2 is 0"):
        DemonstrationReward([BOTH, zero]).configure_model()
    with pytest.raises(PrefalignError, match="rollout 1 has a step whose embedding is 0"):
        scored([BOTH], np.stack([np.vstack([BOTH, BOTH[:1]]), zero]))
    DemonstrationReward([BOTH, BOTH[:1]]).configure_model()  # what pads the shorter one is no step


@pytest.mark.parametrize(
    ("given", "options", "problem"),
    [
        ([], {}, "at least one demonstration"),
        ([BOTH, drawn(3, 4)], {}, r"demonstration 1: expected shape \(steps, 2\)"),
        ([np.full((2, 2), np.nan)], {}, "demonstration 0: number 0 at step 0 is nan"),
        ([BOTH], {"squashing": "tanh"}, "unknown squashing 'tanh'; known: none, otr"),
        ([BOTH], {"epsilon": 0}, "epsilon > 0"),
        ([BOTH], {"count": 0}, "count of at least 1"),
        ([BOTH], {"iterations": 0}, "iterations"),
        ([BOTH], {"tolerance": -1.0}, "tolerance"),
        ([BOTH], {"encoder": IdentityEncoder(3)}, r"demonstration 0: expected shape \(steps, 3\)"),
        ([BOTH], {"encoder": "nowhere"}, "so this is no reward by transport"),
    ],
)
def test_what_is_refused(given, options, problem):
    with pytest.raises(PrefalignError, match=problem):
        DemonstrationReward(given, **options)


def test_rollouts_that_cannot_be_scored():
    reward = DemonstrationReward([drawn(4, 3)])
    for rollouts in (drawn(4, 3), drawn(0, 4, 3), drawn(2, 4, 5)):
        with pytest.raises(PrefalignError, match="expected"):
            reward.score(rollouts)
    wrong = drawn(2, 4, 3)
    wrong[1, 2, 0] = np.inf
    with pytest.raises(PrefalignError, match="no finite float32"):
        reward.score(wrong)
    with pytest.raises(PrefalignError, match="reads 'features'"):
        DemonstrationReward([drawn(4, 3)], IdentityEncoder(3, "features")).score(episodes())
    with pytest.raises(PrefalignError, match="call configure_model first"):
        DemonstrationReward([BOTH]).judge(torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool))
