"""Agent, world and context, found without names."""

import numpy as np
import pytest
from tests.plugins.robotics.transfer.learned.conftest import CONTEXT, HAND, THING, make_episodes

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Segments
from prefalign_robotics.transfer.features import standardised
from prefalign_robotics.transfer.learned.controllability import delayed_copies, early_control, split_numbers
from prefalign_robotics.transfer.learned.split import Split, ranges, settled, usual_speeds, with_actions_before
from prefalign_robotics.transfer.learned.subspaces import split_subspaces


def rotated(episodes, seed):
    """Standardised numbers, each a mixture of all."""
    generator = np.random.default_rng(seed)
    rotation = np.linalg.qr(generator.standard_normal((13, 13)))[0]
    return Segments((standardised(episodes.observations) @ rotation).astype(np.float32), episodes.actions)


def used(matrix):
    return np.flatnonzero(matrix.any(1)).tolist()


def test_numbers_are_assigned_to_what_they_tell_of(reaching):
    split = split_numbers(reaching.episodes)
    assert used(split.agent) == HAND
    assert used(split.world) == THING  # and not its copies of the frame before
    assert used(split.context) == [*CONTEXT, 11]  # a constant's copy cannot be told from another constant
    parts = split.parts(reaching.episodes)
    assert np.quantile(np.abs(np.diff(parts.agent, axis=1)), 0.98, axis=(0, 1)) == pytest.approx([1, 1, 1])
    assert np.quantile(np.ptp(parts.world, axis=1), 0.95, axis=0) == pytest.approx([1, 1])
    assert parts.context.std(0) == pytest.approx([1, 1])


def test_the_order_of_numbers_and_their_units_do_not_matter(reaching):
    episodes = reaching.episodes
    order = np.random.default_rng(0).permutation(13)
    units = 10 ** np.random.default_rng(1).uniform(-1, 2, 13)
    units[6:12] = units[:6]  # a copy has its original's unit
    shuffled = Segments((episodes.observations * units)[..., order].astype(np.float32), episodes.actions)
    mine, theirs = split_numbers(episodes).parts(episodes), split_numbers(shuffled).parts(shuffled)
    assert np.linalg.norm(mine.agent, axis=-1) == pytest.approx(np.linalg.norm(theirs.agent, axis=-1), abs=1e-4)
    assert mine.displacement == pytest.approx(theirs.displacement, abs=1e-4)


def test_a_rotation_hides_numbers_but_not_subspaces(reaching):
    one, other = (rotated(reaching.episodes, seed) for seed in (1, 2))
    plain, turned = (split_subspaces(mixed).parts(mixed) for mixed in (one, other))
    assert turned.displacement == pytest.approx(plain.displacement, abs=1e-3)
    assert np.abs(turned.context) == pytest.approx(np.abs(plain.context), abs=1e-3)
    # The hand moves from the first step on, the thing later.
    assert np.ptp(turned.world[:, 5:15], axis=1).max() < 0.03
    assert np.corrcoef(turned.displacement[:, -1], reaching.moved[:, -1])[0, 1] > 0.99


def test_control_is_the_share_of_early_steps_that_actions_explain():
    generator = np.random.default_rng(3)
    actions = generator.standard_normal((60, 40, 1)).astype(np.float32)
    noise = generator.standard_normal((60, 40))
    steps = np.stack([actions[..., 0], actions[..., 0] + noise, noise, 0 * noise], -1)
    values = np.cumsum(np.pad(steps, ((0, 0), (1, 0), (0, 0))), axis=1)[:, :40]
    episodes = Segments(values.astype(np.float32), actions)
    found = early_control(values, with_actions_before(episodes, 2))
    assert found == pytest.approx([1, 0.5, 0, 0], abs=0.05)
    # Only steps 5 to 19 count: later ones may be anything.
    values[:, 21:] += np.arange(19)[None, :, None] ** 2
    assert early_control(values, with_actions_before(episodes, 2)) == pytest.approx(found)


def test_actions_before_come_step_by_step():
    actions = np.arange(30, dtype=np.float32)[None, :, None] * np.ones((2, 1, 1), np.float32)
    found = with_actions_before(Segments(np.ones((2, 30, 1), np.float32), actions), 3)
    assert found.shape == (2, 15, 3)
    assert found[0, 0].tolist() == [5, 4, 3]
    assert found[0, -1].tolist() == [19, 18, 17]


def test_copies_of_the_frame_before_are_found_and_originals_kept():
    values = np.random.default_rng(4).standard_normal((3, 30, 4))
    values[:, 1:, 2] = values[:, :-1, 0]
    assert delayed_copies(values, np.ones(4, bool)).tolist() == [False, False, True, False]
    values[0, 20, 2] += 1e-9
    assert not delayed_copies(values, np.ones(4, bool)).any()


def test_settling_frames_show_what_follows_them():
    observations = np.arange(60, dtype=np.float32).reshape(2, 30, 1)
    values = settled(Segments(observations, observations))
    assert values[0, :5, 0].tolist() == [3, 3, 3, 3, 4]
    assert observations[0, 0, 0] == 0  # the episodes themselves are left alone


def test_ranges_and_speeds_by_hand():
    values = np.zeros((1, 5, 2))
    values[0, :, 0] = [0, 1, -3, 0, 0]
    assert ranges(values).tolist() == [4, 0]
    assert usual_speeds(values) == pytest.approx([3.94, 0])  # the 98 % quantile of 1, 4, 3, 0


def test_an_agent_that_hardly_obeys_is_still_told_from_the_world(reaching):
    """Actions explain less than 0.4 of its steps, but those of nothing else."""
    noise = np.random.default_rng(6).standard_normal((*reaching.episodes.observations.shape[:2], 3))
    observations = reaching.episodes.observations.copy()
    observations[..., HAND] += 0.03 * np.cumsum(noise, axis=1)
    observations[:, 1:, 6:9] = observations[:, :-1, HAND]
    weak = Segments(observations, reaching.episodes.actions)
    assert early_control(settled(weak), with_actions_before(weak, 3))[HAND].max() < 0.4
    split = split_numbers(weak)
    assert (used(split.agent), used(split.world)) == (HAND, THING)


def test_what_moves_early_in_few_episodes_is_no_agent_whatever_actions_explain():
    """As where a robot starts at a door: all early pushes are due to actions."""
    episodes = make_episodes(40, 5).episodes
    observations, actions = episodes.observations[..., [0, 1, 3]].copy(), episodes.actions
    observations[:8, 1:, 2] += 0.03 * np.cumsum(actions[:8, :-1, 0], axis=1)
    split = split_numbers(Segments(observations, actions))
    assert used(split.agent) == [0, 1]
    assert used(split.world) == [2]


@pytest.mark.parametrize("splitter", [split_numbers, split_subspaces])
def test_episodes_that_show_too_little_are_refused(reaching, splitter):
    episodes = reaching.episodes
    still = Segments(np.ones((4, 40, 3), np.float32), episodes.actions[:4, :40])
    with pytest.raises(SegmentError, match=r"nothing answers to the actions|no observation changes"):
        splitter(still)
    with pytest.raises(SegmentError, match="but the agent"):
        splitter(Segments(episodes.observations[..., HAND[:2]], episodes.actions))
    with pytest.raises(SegmentError, match="whole episodes of more than 20 steps, got 20"):
        splitter(Segments(episodes.observations[:, :20], episodes.actions[:, :20]))


def test_a_split_is_for_its_own_observations(reaching):
    split = Split(np.zeros(4), np.zeros((4, 1)), np.zeros((4, 1)), np.zeros((4, 0)))
    with pytest.raises(SegmentError, match="observations of 4 numbers, got 13"):
        split.parts(reaching.episodes)
