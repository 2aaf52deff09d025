"""Policies are run on unseen goal instances, several at a time, and summed up with intervals."""

import numpy as np
import pytest

from prefalign.interfaces import PrefalignError
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.mixture import TRAINING_INSTANCES
from prefalign_robotics.simulator.rollouts import evaluate, mean_interval, roll_out, success_interval

pytest.importorskip("metaworld")


def push_forward(observations):
    """An action that depends on each observation alone, and leaves the bounds."""
    return np.concatenate([10 * observations[:, 36:39], np.full((len(observations), 1), -3)], 1)


def test_side_by_side_is_the_same_as_one_by_one():
    sizes = []

    def policy(observations):
        assert observations.dtype == np.float32
        sizes.append(len(observations))
        return push_forward(observations)

    together = roll_out(policy, "reach", 3, 5, seed=2, slots=2)
    assert sizes == [2] * 5 + [1] * 5
    alone = roll_out(push_forward, "reach", 3, 5, seed=2, slots=1)
    for name in ("observations", "actions", "rewards", "success", "instances"):
        assert np.array_equal(getattr(together, name), getattr(alone, name))
    assert (together.instances >= TRAINING_INSTANCES).all()
    assert len({*together.instances}) == 3
    expected = np.clip(push_forward(together.observations.reshape(-1, 39)), -1, 1).reshape(3, 5, 4)
    assert together.actions == pytest.approx(expected)
    assert np.array_equal(roll_out(push_forward, "reach", 1, 2, seed=2).instances, together.instances[:1])
    assert roll_out(push_forward, "reach", 1, 2, seed=3).instances[0] != together.instances[0]


def test_a_policy_that_remembers_is_told_of_new_episodes():
    class Counting:
        def __init__(self):
            self.heard = []

        def reset(self, slots):
            self.heard.append(list(slots))

        def __call__(self, observations):
            self.heard.append(len(observations))
            return np.zeros((len(observations), 4))

    policy = Counting()
    roll_out(policy, "reach", 3, 2, slots=2)
    assert policy.heard == [[0, 1], 2, 2, [0], 1, 1]


def test_the_expert_succeeds_where_standing_still_does_not():
    from prefalign_robotics.simulator.world import Expert

    expert = Expert("reach")
    good = evaluate(lambda seen: np.stack([expert(row.astype(float)) for row in seen]), "reach", 3, 60)
    bad = evaluate(lambda seen: np.zeros((len(seen), 4)), "reach", 3, 60)
    assert (good.success.estimate, bad.success.estimate) == (1, 0)
    # Wilson's bounds for 3 of 3: n / (n + z^2).
    assert good.success.low == pytest.approx(3 / (3 + 1.959964**2), rel=1e-5)
    assert (good.success.high, bad.success.low) == (1, 0)
    assert good.mean_return.estimate == pytest.approx(good.episodes.rewards.sum() / 3)
    assert good.mean_return.low > bad.mean_return.high


def test_intervals_cover_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(0)
    covered = np.zeros(2)
    for _ in range(300):
        shares = success_interval(generator.random(30) < 0.9, 0.9)
        means = mean_interval(generator.normal(5, 2, 40), 0.9, rounds=400)
        covered += [shares.low <= 0.9 <= shares.high, means.low <= 5 <= means.high]
    assert covered / 300 == pytest.approx([0.9, 0.9], abs=0.06)


def test_what_cannot_be_run_is_refused():
    for episodes, steps in ((0, 5), (2, 0), (2, 501)):
        with pytest.raises(SegmentError, match=f"got {episodes} of {steps} steps"):
            roll_out(push_forward, "reach", episodes, steps)
    with pytest.raises(SegmentError, match=r"finite actions \(2, 4\) of the policy, got \(2, 3\)"):
        roll_out(lambda seen: np.zeros((2, 3)), "reach", 2, 1)
    with pytest.raises(SegmentError, match="not finite"):
        roll_out(lambda seen: np.full((1, 4), np.nan), "reach", 1, 1)
    with pytest.raises(PrefalignError, match="unknown Meta-World task 'reech'; did you mean 'reach'"):
        roll_out(push_forward, "reech")
    with pytest.raises(SegmentError, match="confidence between 0 and 1, got 95"):
        success_interval(np.array([True]), 95)
    with pytest.raises(SegmentError, match="at least one value"):
        mean_interval(np.array([]))
