"""What a reward is worth to a policy: cloning the episodes it likes, or learning from it, beside doing so otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from prefalign_robotics.policies.cloning import best_share, clone
from prefalign_robotics.policies.iql import learn_iql
from prefalign_robotics.simulator.episodes import Episodes
from prefalign_robotics.simulator.rollouts import Evaluation, evaluate

#: What is cloned: everything, as many episodes at random, those of the best scores, and of the best true returns.
CHOICES = ("all", "random", "scored", "true_return")


def compare_choices(
    episodes: Episodes,
    scores: np.ndarray,
    *,
    share: float = 0.25,
    steps: int = 2000,
    rollouts: int = 20,
    rollout_steps: int = 150,
    seed: int = 0,
) -> dict[str, Evaluation]:
    """Clone each of `CHOICES` and evaluate all on the same goal instances.

    Cloning everything varies widely with the seed (by half and more in success), so show several.

    Args:
        episodes: of one Meta-World task.
        scores: (E,) of each episode, by the reward that is judged.
        share: of the episodes that is cloned.
        steps: of each optimiser.
        rollouts: goal instances.
        rollout_steps: of each.
        seed: of the random choice, weights, batches and goal instances.

    Raises:
        SegmentError: as `best_share`, `clone` and `evaluate`.
        SimulatorError: if Meta-World is not installed.
    """
    chosen = {
        "all": episodes,
        "random": best_share(episodes, np.random.default_rng(seed).random(len(episodes)), share),
        "scored": best_share(episodes, scores, share),
        "true_return": best_share(episodes, episodes.returns, share),
    }
    return {
        name: evaluate(clone(some, steps, seed=seed).act, episodes.task, rollouts, rollout_steps, seed)
        for name, some in chosen.items()
    }


#: What implicit Q-learning is given: the rewards that are judged, and the true ones.
REWARDS = ("scored", "true_reward")


def compare_rewards(
    episodes: Episodes,
    rewards: np.ndarray,
    *,
    steps: int = 5000,
    rollouts: int = 20,
    rollout_steps: int = 150,
    seed: int = 0,
    **settings: Any,
) -> dict[str, Evaluation]:
    """Learn from each of `REWARDS` and evaluate both on the goal instances of `compare_choices` with the same seed.

    Args:
        episodes: of one Meta-World task.
        rewards: (E, T) of their steps, by the reward that is judged.
        steps: of each optimiser.
        rollouts: goal instances.
        rollout_steps: of each.
        seed: of weights, batches and goal instances.
        settings: further arguments of `learn_iql`.

    Raises:
        SegmentError: as `learn_iql` and `evaluate`.
        SimulatorError: if Meta-World is not installed.
    """
    return {
        name: evaluate(
            learn_iql(episodes, some, steps, seed=seed, **settings).act, episodes.task, rollouts, rollout_steps, seed
        )
        for name, some in zip(REWARDS, (rewards, episodes.rewards), strict=True)
    }
