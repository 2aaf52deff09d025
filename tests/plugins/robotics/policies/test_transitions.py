"""Steps keep what followed them, and batches are drawn the same way again after a stop."""

import numpy as np
import pytest
import torch

from prefalign_robotics.policies.transitions import TransitionBatches, Transitions, reward_factor, transitions
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.episodes import Episodes


def make_episodes(count=2, steps=4):
    """Observation, action and reward of step t of episode e all tell e and t."""
    number = 10 * np.arange(count)[:, None] + np.arange(steps)
    return Episodes(
        np.stack([number, -number], -1).astype(np.float32),
        (number[..., None] / 100).astype(np.float32),
        number.astype(np.float32),
        np.zeros((count, steps), bool),
        np.full(count, "expert"),
        np.zeros(count, np.float32),
        np.arange(count),
        "toy",
    )


def test_the_last_step_is_left_out_as_nobody_knows_what_followed():
    episodes = make_episodes()
    found = transitions(episodes, 2 * episodes.rewards)
    assert found.observations[:, 0].tolist() == [0, 1, 2, 10, 11, 12]
    assert found.next_observations[:, 0].tolist() == [1, 2, 3, 11, 12, 13]
    assert found.rewards.tolist() == [0, 2, 4, 20, 22, 24]
    assert found.actions[:, 0] == pytest.approx([0, 0.01, 0.02, 0.1, 0.11, 0.12])
    assert found.continues.all()
    assert {values.dtype for values in found[:4]} == {torch.float32}


def test_an_end_is_kept_and_what_comes_after_it_is_not():
    ends = np.zeros((3, 4), bool)
    ends[0, 1] = ends[0, 2] = ends[1, 3] = True
    found = transitions(make_episodes(3), make_episodes(3).rewards, ends)
    assert found.observations[:, 0].tolist() == [0, 1, 10, 11, 12, 13, 20, 21, 22]
    assert found.continues.tolist() == [True, False, True, True, True, False, True, True, True]
    assert found.next_observations[found.continues, 0].tolist() == [1, 11, 12, 13, 21, 22, 23]


def test_rewards_are_spread_by_the_range_of_returns():
    """Returns 3 and −1 over 2 steps: a factor of 2 / 4, which makes them 1.5 and −0.5, that is 2 apart."""
    rewards = np.array([[1.0, 2.0], [0.0, -1.0]])
    assert reward_factor(rewards) == 0.5
    assert reward_factor(1000 * rewards) == pytest.approx(0.5e-3)


@pytest.mark.parametrize("rewards", [np.full((3, 5), 0.1), np.zeros((2, 2)), np.zeros((0, 4)), np.ones((1, 4))])
def test_rewards_that_prefer_nothing_are_refused(rewards):
    with pytest.raises(SegmentError, match=f"got {len(rewards)} of the same return"):
        reward_factor(rewards, "toy")


def test_what_is_no_reward_of_these_steps_is_refused():
    episodes = make_episodes()
    with pytest.raises(SegmentError, match=r"toy: expected rewards \(2, 4\), one for each step, got \(2,\)"):
        transitions(episodes, episodes.returns)
    with pytest.raises(SegmentError, match=r"expected ends \(2, 4\)"):
        transitions(episodes, episodes.rewards, np.zeros((2, 3), bool))
    rewards = episodes.rewards.copy()
    rewards[1, 2] = np.nan
    with pytest.raises(SegmentError, match=r"rewards at step 2 of episode 1 are not finite \(1 such"):
        transitions(episodes, rewards)
    episodes.observations[0, 3, 1] = np.inf
    with pytest.raises(SegmentError, match="observations at step 3 of episode 0 are not finite"):
        transitions(episodes, episodes.rewards)
    with pytest.raises(SegmentError, match="no step of 2 episodes of 1 steps"):
        transitions(make_episodes(2, 1), make_episodes(2, 1).rewards)


def numbered(count):
    column = torch.arange(count, dtype=torch.float32)
    return Transitions(column[:, None], column[:, None], column, column[:, None] + 1, column < count)


def test_batches_keep_the_rows_together_and_cover_the_data():
    drawn = list(TransitionBatches(numbered(5), 200, 8))
    assert len(drawn) == 200
    assert all(torch.equal(b.rewards + 1, b.next_observations[:, 0]) for b in drawn)
    counts = torch.cat([b.rewards for b in drawn]).long().bincount()
    # 1600 draws of 5: 320 each, with a standard deviation of 16.
    assert counts.tolist() == pytest.approx([320] * 5, abs=80)


def test_a_draw_goes_on_where_it_stopped():
    whole = [batch.rewards for batch in TransitionBatches(numbered(99), 6, 4, seed=3)]
    first = TransitionBatches(numbered(99), 6, 4, seed=3)
    for _, batch in zip(range(2), first, strict=False):
        assert torch.equal(batch.rewards, whole[first.position - 1])
    rest = TransitionBatches(numbered(99), 6, 4, seed=3)
    rest.load_state_dict(first.state_dict())
    assert torch.equal(torch.stack([b.rewards for b in rest]), torch.stack(whole[first.position :]))
    assert len(list(rest)) == 6
    other = next(iter(TransitionBatches(numbered(99), 6, 4, seed=4)))
    assert not torch.equal(other.rewards, whole[0])
    assert not torch.equal(whole[0], whole[1])
