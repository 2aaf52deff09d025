"""Episodes of mixed quality, so that there is something to prefer.

Noise alone makes no failures, as the scripted experts recover from it. The mixture is the one of inverse preference
learning (Hejna and Sadigh, arXiv 2305.15363), in equal parts: the expert; the expert of another goal instance, or of
another task, which sees its own simulator while its actions are executed here; and random actions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.episodes import Episodes, blank_episodes, load_episodes
from prefalign_robotics.simulator.world import (
    ACTION,
    HORIZON,
    World,
    check_task,
    simulator_version,
    tasks,
)

#: Who acts, in turn.
KINDS = ("expert", "other_goal", "random", "other_task")
#: Standard deviations of the noise on an expert's actions, in units of the action; each episode draws one.
NOISE = (0.1, 0.3, 0.5, 1.0)
#: Goal instances are drawn below this number; those from it up are left for tests of policies.
TRAINING_INSTANCES = 2**30


def generate_episodes(
    task: str, episodes: int, steps: int = 150, seed: int = 0, *, cache: Path | str | None = None
) -> Episodes:
    """Simulate a mixture; episode i is by `KINDS[i % 4]`.

    Each episode has a random generator of its own, so that the first of many are the same as few. Actions are clipped
    to [−1, 1]. Episodes do not end at success.

    Args:
        task: one of `world.tasks()`.
        episodes: how many; 160 take half a minute to a minute.
        steps: of each, at most 500.
        seed: the same gives the same episodes, whatever was simulated before.
        cache: folder where episodes are kept and, if they were simulated by the same versions, taken from.

    Raises:
        PrefalignError: for another task.
        SegmentError: for other numbers of episodes or steps, or a damaged file in the cache.
        SimulatorError: if Meta-World is not installed.
    """
    check_task(task)
    if episodes < 1 or not 1 <= steps <= HORIZON:
        raise SegmentError(
            f"{task}: expected at least one episode of 1 to {HORIZON} steps, got {episodes} of {steps} steps"
        )
    if cache is None:
        return _simulate(task, episodes, steps, seed)
    kept = Path(cache) / f"{task}-{episodes}x{steps}-seed{seed}-{simulator_version()}.npz"
    if kept.is_file():
        return load_episodes(kept)
    found = _simulate(task, episodes, steps, seed)
    kept.parent.mkdir(parents=True, exist_ok=True)
    found.save(kept)
    return found


def _simulate(task: str, episodes: int, steps: int, seed: int) -> Episodes:
    generators = [np.random.default_rng([seed, row]) for row in range(episodes)]
    strangers = [name for name in tasks() if name != task]
    kinds = np.array([KINDS[row % len(KINDS)] for row in range(episodes)])
    instances, shown_instances = np.array([g.integers(TRAINING_INSTANCES, size=2) for g in generators]).T
    noise = np.where(kinds == "random", 0, [g.choice(NOISE) for g in generators])
    shown_tasks = np.where(kinds == "other_task", [strangers[g.integers(len(strangers))] for g in generators], task)
    found = blank_episodes(task, steps, kinds, noise, instances)
    world = World(task)
    # Task by task, so that every other simulator is built once and no two of them take memory at a time.
    for shown_task in np.unique(shown_tasks):
        shown = World(str(shown_task))
        for row in np.flatnonzero(shown_tasks == shown_task).tolist():
            seen_by_expert = world if kinds[row] == "expert" else shown
            _fill(found, row, world, seen_by_expert, shown_instances[row], generators[row])
        shown.close()
    world.close()
    return found


def _fill(
    found: Episodes, row: int, world: World, shown: World, shown_instance: int, generator: np.random.Generator
) -> None:
    """Simulate one episode: the expert looks at `shown`, where its actions are executed as well."""
    expert, random = shown.expert(), found.kinds[row] == "random"
    observation = world.reset(found.instances[row])
    seen = observation if shown is world else shown.reset(shown_instance)
    for step in range(found.steps):
        action = generator.uniform(-1, 1, ACTION)
        if not random:
            action = np.clip(expert(seen) + found.noise[row] * generator.standard_normal(ACTION), -1, 1)
        found.observations[row, step], found.actions[row, step] = observation, action
        # What is stored is what is executed, to the last bit.
        executed = found.actions[row, step]
        observation, found.rewards[row, step], found.success[row, step] = world.step(executed)
        if not random:
            seen = observation if shown is world else shown.step(executed)[0]
