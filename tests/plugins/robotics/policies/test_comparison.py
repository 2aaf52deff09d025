"""The four choices are cloned, both rewards learned from, and all run on the same goal instances."""

import numpy as np
import pytest

from prefalign_robotics.policies.comparison import CHOICES, REWARDS, compare_choices, compare_rewards
from prefalign_robotics.simulator.mixture import generate_episodes

pytest.importorskip("metaworld")


def test_every_choice_is_cloned_from_what_it_says(monkeypatch):
    from prefalign_robotics.policies import comparison

    episodes = generate_episodes("reach", 4, 8, seed=0)
    cloned = []

    def recorded(some, steps, *, seed):
        cloned.append(some)
        return clone(some, steps, batch_size=16, width=8, seed=seed)

    clone = comparison.clone
    monkeypatch.setattr(comparison, "clone", recorded)
    scores = np.array([0.0, 5.0, 1.0, 3.0])
    found = compare_choices(episodes, scores, share=0.5, steps=3, rollouts=2, rollout_steps=3, seed=1)
    assert tuple(found) == CHOICES
    everything, random, scored, true_return = cloned
    assert np.array_equal(everything.instances, episodes.instances)
    assert np.array_equal(scored.instances, episodes.instances[[1, 3]])
    assert np.array_equal(true_return.instances, episodes.instances[np.argsort(-episodes.returns)[:2]])
    assert len(random) == 2
    starts = [evaluation.episodes.observations[:, 0] for evaluation in found.values()]
    assert all(np.array_equal(start, starts[0]) for start in starts)
    assert not np.array_equal(found["all"].episodes.actions, found["scored"].episodes.actions)


def test_both_rewards_are_learned_from(monkeypatch):
    from prefalign_robotics.policies import comparison

    episodes = generate_episodes("reach", 4, 8, seed=0)
    given = []

    def recorded(some, rewards, steps, **settings):
        given.append((rewards, settings["seed"]))
        return learn(some, rewards, steps, **settings)

    learn = comparison.learn_iql
    monkeypatch.setattr(comparison, "learn_iql", recorded)
    options = {"rollouts": 2, "rollout_steps": 3, "seed": 1}
    rewards = -episodes.rewards
    found = compare_rewards(episodes, rewards, steps=3, batch_size=8, hidden=(8,), **options)
    assert tuple(found) == REWARDS
    assert [seed for _, seed in given] == [1, 1]
    assert given[0][0] is rewards
    assert given[1][0] is episodes.rewards
    cloned = compare_choices(episodes, episodes.returns, steps=1, **options)["all"]
    for evaluation in found.values():
        assert np.array_equal(evaluation.episodes.observations[:, 0], cloned.episodes.observations[:, 0])


@pytest.mark.slow
def test_cloning_the_best_quarter_does_the_task():
    episodes = generate_episodes("window-open", 80, 150, seed=0)
    found = compare_choices(episodes, -episodes.returns, rollouts=10)
    assert found["true_return"].success.estimate >= 0.8
    # The worst quarter as a check that it is the choice that does it.
    assert found["scored"].success.estimate <= 0.2
