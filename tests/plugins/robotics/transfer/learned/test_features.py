"""Contact, displacement and end, beside what really happened."""

import numpy as np
import pytest
from tests.plugins.robotics.transfer.learned.conftest import make_episodes

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Comparisons, Segments, all_pairs
from prefalign_robotics.transfer.couplings import Gromov, Sinkhorn
from prefalign_robotics.transfer.features import raw, standardised
from prefalign_robotics.transfer.learned.features import learn_features, weighted_ridge
from prefalign_robotics.transfer.learned.subspaces import split_subspaces
from prefalign_robotics.transfer.learned.windows import cut, observed
from prefalign_robotics.transfer.report import assess
from prefalign_robotics.transfer.transfer import transfer_linear, transfer_preferences


def agreement(found, wanted):
    return np.corrcoef(found[:, 3:].ravel(), wanted[:, 3:].ravel())[0, 1]


def test_features_tell_of_reaching_moving_and_finishing(reaching):
    contact, displacement, end = np.moveaxis(learn_features(reaching.episodes)(reaching.episodes), -1, 0)
    assert agreement(contact, np.log(reaching.to_thing + 0.05)) > 0.95
    assert agreement(displacement, reaching.moved) > 0.95
    assert agreement(end, reaching.to_goal) > 0.9
    # One that gave up was all but there.
    assert end[reaching.expert, -1].max() < 0.3 < np.sort(end[~reaching.expert, -1])[1]
    # Twenty steps away from contact are twenty steps.
    assert np.expm1(contact[reaching.expert, 3]) == pytest.approx(reaching.to_thing[reaching.expert, 3] / 0.03, rel=0.5)


def test_new_episodes_of_the_task_are_judged_as_well(reaching):
    features = learn_features(reaching.episodes)
    other = make_episodes(24, seed=9)
    contact, displacement, end = np.moveaxis(features(other.episodes), -1, 0)
    assert agreement(contact, np.log(other.to_thing + 0.05)) > 0.9
    assert agreement(displacement, other.moved) > 0.95
    assert agreement(end, other.to_goal) > 0.9


def test_episodes_that_end_elsewhere_do_not_move_the_end():
    """Three experts of twelve carry the thing the other way; the end stays where most episodes end."""
    found = make_episodes(48, seed=2, outliers=3)
    end = learn_features(found.episodes)(found.episodes)[..., 2]
    assert end[12:][found.expert[12:], -1].mean() < 0.3
    assert end[:12][found.expert[:12], -1].min() > 1


def test_a_thing_that_slides_by_itself_does_not_move_the_contact(reaching):
    episodes = reaching.episodes
    observations = episodes.observations.copy()
    away = np.arange(3, 40, 4)[:5]  # episodes whose hand stays away
    observations[away, 50:, 3] += 0.02 * np.arange(1, 51)
    observations[away, 51:, 9] = observations[away, 50:-1, 3]
    spoilt = Segments(observations, episodes.actions)
    others = np.setdiff1d(np.arange(40), away)
    contact = learn_features(spoilt)(spoilt)[others, :, 0]
    assert agreement(contact, np.log(reaching.to_thing[others] + 0.05)) > 0.9


def test_mixed_numbers_give_nearly_the_same_features(reaching):
    episodes = reaching.episodes
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((13, 13)))[0]
    mixed = Segments((standardised(episodes.observations) @ rotation).astype(np.float32), episodes.actions)
    found = learn_features(mixed, split_subspaces)(mixed)
    assert agreement(found[..., 0], np.log(reaching.to_thing + 0.05)) > 0.9
    assert agreement(found[..., 1], reaching.moved) > 0.95
    assert agreement(found[..., 2], reaching.to_goal) > 0.75


def test_preferences_go_over_to_a_task_that_lies_elsewhere():
    """The other task is mirrored and has other units, so that a linear reward on raw numbers misleads."""
    sides = []
    for seed, push, scale in ((0, (0.6, 0.0), 1.0), (1, (-0.3, 0.5), -7.0)):
        found = make_episodes(60, seed, push, scale)
        generator = np.random.default_rng(seed)
        rows, starts = generator.integers(60, size=40), generator.integers(61, size=40)
        values = cut(learn_features(found.episodes)(found.episodes), rows, starts, 40)
        actions = cut(found.episodes.actions, rows, starts, 40)
        utility = -cut(found.to_thing + 2 * found.to_goal, rows, starts, 40).mean(1)
        pairs = all_pairs(40)
        labels = (utility[pairs[:, 1]] > utility[pairs[:, 0]]).astype(float)
        plain = Segments(cut(found.episodes.observations, rows, starts, 40), actions, "plain")
        sides.append((Segments(values.astype(np.float32), actions, "task"), Comparisons(pairs, labels), plain))
    (source, comparisons, plain_source), (target, judged, plain_target) = sides

    def right(found):
        return assess(found, judged.labels)["accuracy"]

    for coupler, epsilon in ((Gromov(), 0.01), (Sinkhorn(), 0.05)):
        found = transfer_preferences(
            source, comparisons, target, coupler=coupler, epsilon=epsilon, features=observed, starts=0
        )
        assert right(found) > 0.8
    assert right(transfer_linear(source, comparisons, target, features=observed)) > 0.85
    assert right(transfer_linear(plain_source, comparisons, plain_target, features=raw)) < 0.5


def test_without_an_episode_that_gets_anywhere_there_is_no_end(reaching):
    episodes = reaching.episodes
    observations = episodes.observations.copy()
    observations[:, 60:, 3:5] = observations[:, 3:4, 3:5]  # back to where it stood
    observations[:, 61:, 9:11] = observations[:, 60:-1, 3:5]
    with pytest.raises(SegmentError, match="no episode ends with the world moved by more than"):
        learn_features(Segments(observations, episodes.actions))


def test_weighted_ridge_leaves_the_constant_free():
    generator = np.random.default_rng(0)
    inputs = np.concatenate([generator.standard_normal((50, 2)), np.ones((50, 1))], -1)
    outputs = inputs @ np.array([[1.0], [-2.0], [30.0]])
    outputs[25:] += 100
    weights = np.repeat([1.0, 0.0], 25)
    assert weighted_ridge(inputs, outputs, weights, 0.0)[:, 0] == pytest.approx([1, -2, 30])
    shrunk = weighted_ridge(inputs, outputs, weights, 1e9)[:, 0]
    assert shrunk[:2] == pytest.approx([0, 0], abs=1e-6)
    assert shrunk[2] == pytest.approx(outputs[:25].mean())
    # A penalty of 1 mean diagonal halves the slope of a single centred input.
    centred = np.stack([np.array([-2.0, 2.0]), np.ones(2)], -1)
    assert weighted_ridge(centred, centred[:, :1], np.ones(2), 1.0)[:, 0] == pytest.approx([0.5, 0])


def test_stretches_are_cut_where_they_are():
    values = np.arange(24).reshape(2, 12)
    assert cut(values, np.array([1, 0]), np.array([3, 9]), 3).tolist() == [[15, 16, 17], [9, 10, 11]]
    with pytest.raises(SegmentError, match="stretch 1 takes steps 10 to 12 of episode 0, but there are 2 episodes"):
        cut(values, np.array([1, 0]), np.array([3, 10]), 3)
    for row, start in ((2, 0), (-1, 0), (0, -1)):
        with pytest.raises(SegmentError, match="stretch 0"):
            cut(values, np.array([row]), np.array([start]), 3)
    with pytest.raises(SegmentError, match="at least one step"):
        cut(values, np.array([0]), np.array([0]), 0)
