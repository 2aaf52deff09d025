"""Policies at work: episodes on goal instances that no training episode had, with intervals for what they achieve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from scipy.stats import binomtest

from prefalign.evaluation.bootstrap import Interval, bounds, resample
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.episodes import Episodes, blank_episodes
from prefalign_robotics.simulator.mixture import TRAINING_INSTANCES
from prefalign_robotics.simulator.world import ACTION, HORIZON, World

#: (B, 39) float32 observations to (B, 4) actions, which are clipped to [−1, 1].
Policy = Callable[[np.ndarray], np.ndarray]


@runtime_checkable
class Remembering(Protocol):
    """A policy that carries something from step to step, such as actions planned ahead, and is told of new episodes."""

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """(B, A) actions for (B, O) observations of slots 0 … B − 1."""

    def reset(self, slots: Sequence[int]) -> None:
        """The next observations of these slots begin new episodes."""


@dataclass(frozen=True)
class Evaluation:
    """What a policy achieves.

    Attributes:
        episodes: what it did, one episode for each goal instance.
        success: share of episodes in which the task was done at any step, with Wilson's interval, which stays honest
            at 0 and 1.
        mean_return: mean sum of rewards, with a percentile bootstrap interval.
    """

    episodes: Episodes
    success: Interval
    mean_return: Interval


def evaluate(
    policy: Policy, task: str, episodes: int = 20, steps: int = 150, seed: int = 0, *, confidence: float = 0.95
) -> Evaluation:
    """Run a policy and sum up; arguments as in `roll_out`.

    The intervals are for the goal instances of the task, given this policy; training again with another seed can move
    a cloned policy further than they say.

    Raises:
        PrefalignError: for a confidence outside (0, 1), and as `roll_out`.
    """
    found = roll_out(policy, task, episodes, steps, seed)
    return Evaluation(
        found,
        success_interval(found.succeeded, confidence),
        mean_interval(found.returns, confidence),
    )


def roll_out(
    policy: Policy, task: str, episodes: int = 20, steps: int = 150, seed: int = 0, *, slots: int = 5
) -> Episodes:
    """Episodes of a policy on goal instances that `generate_episodes` never draws.

    Args:
        policy: asked once a step for all simulators; a `Remembering` one is told when their episodes begin.
        task: one of `world.tasks()`.
        episodes: goal instances, one episode each. The first of many are the same as few.
        steps: of each, at most 500; episodes do not end at success.
        seed: of the goal instances; the same for all policies compares them on the same ones.
        slots: simulators side by side; each takes a third of a second to build.

    Raises:
        PrefalignError: for another task.
        SegmentError: for other numbers, or actions that are no finite (B, 4).
        SimulatorError: if Meta-World is not installed.
    """
    if min(episodes, slots) < 1 or not 1 <= steps <= HORIZON:
        raise SegmentError(
            f"{task}: expected at least one episode of 1 to {HORIZON} steps and one slot, got {episodes} of {steps} "
            f"steps in {slots} slots"
        )
    instances = np.random.default_rng(seed).integers(TRAINING_INSTANCES, 2 * TRAINING_INSTANCES, episodes)
    found = blank_episodes(task, steps, np.full(episodes, "policy"), np.zeros(episodes), instances)
    worlds = [World(task) for _ in range(min(slots, episodes))]
    for first in range(0, episodes, slots):
        _fill(found, range(first, min(first + slots, episodes)), worlds, policy)
    for world in worlds:
        world.close()
    return found


def success_interval(succeeded: np.ndarray, confidence: float = 0.95) -> Interval:
    """Share of (N,) successes with Wilson's interval.

    Raises:
        PrefalignError: without outcomes, or for a confidence outside (0, 1).
    """
    _check(succeeded, confidence)
    found = binomtest(int(succeeded.sum()), len(succeeded)).proportion_ci(confidence, method="wilson")
    return Interval(float(succeeded.mean()), float(found.low), float(found.high), confidence)


def mean_interval(values: np.ndarray, confidence: float = 0.95, rounds: int = 2000, seed: int = 0) -> Interval:
    """Mean of (N,) values with a percentile bootstrap interval.

    Raises:
        PrefalignError: without values, or for a confidence outside (0, 1).
    """
    _check(values, confidence)
    drawn = resample(np.ones(len(values), np.int64), rounds, seed) @ values / len(values)
    low, high = bounds(drawn, confidence)
    return Interval(float(values.mean()), float(low), float(high), confidence)


def _fill(found: Episodes, rows: range, worlds: list[World], policy: Policy) -> None:
    """Simulate the episodes of `rows` side by side."""
    active = worlds[: len(rows)]
    if isinstance(policy, Remembering):
        policy.reset(range(len(rows)))
    seen = [world.reset(found.instances[row]) for world, row in zip(active, rows, strict=True)]
    for step in range(found.steps):
        observations = np.asarray(seen, dtype=np.float32)
        actions = np.asarray(policy(observations))
        if actions.shape != (len(rows), ACTION) or not np.isfinite(actions).all():
            raise SegmentError(
                f"{found.task}: expected finite actions ({len(rows)}, {ACTION}) of the policy, got {actions.shape}"
                f"{'' if np.isfinite(actions).all() else ' with numbers that are not finite'}"
            )
        found.observations[rows, step] = observations
        found.actions[rows, step] = np.clip(actions, -1, 1)
        for slot, (world, row) in enumerate(zip(active, rows, strict=True)):
            seen[slot], found.rewards[row, step], found.success[row, step] = world.step(found.actions[row, step])


def _check(values: np.ndarray, confidence: float) -> None:
    if values.ndim != 1 or not len(values):
        raise SegmentError(f"expected at least one value in a row, got shape {values.shape}")
    if not 0 < confidence < 1:
        raise SegmentError(f"expected a confidence between 0 and 1, got {confidence}")
