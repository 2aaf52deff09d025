"""Preferences over candidate chunks, told by the simulator: from one saved state, what does each chunk earn?

The policy acts by itself, so that the states are those that it gets into, as in DeformPAM's second stage (arXiv
2410.11584), where people compared what here is rolled out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from prefalign.interfaces import PreferenceRecord
from prefalign_robotics.policies.diffusion.acting import Planner
from prefalign_robotics.policies.diffusion.codec import chunk_record
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.mixture import TRAINING_INSTANCES
from prefalign_robotics.simulator.world import HORIZON, World


def chunk_returns(world: World, chunks: np.ndarray) -> np.ndarray:
    """(C,) float64 sums of the rewards of (C, H, A) chunks, each from the world's present, which is restored.

    Actions are clipped to [−1, 1], as in rollouts.
    """
    present = world.save()
    earned = np.zeros(len(chunks))
    for row, chunk in enumerate(np.clip(chunks, -1, 1)):
        for action in chunk:
            earned[row] += world.step(action)[1]
        world.restore(present)
    return earned


def compare_candidates(
    planner: Planner,
    task: str,
    episodes: int = 20,
    steps: int = 150,
    execute: int = 4,
    seed: int = 0,
    *,
    slots: int = 5,
) -> Iterator[PreferenceRecord]:
    """Records of the planner's candidates, ranked by their returns, at every state where it plans.

    Of each state's chunks the planner's first is executed, for `execute` steps.

    Args:
        planner: proposes at least two chunks for an observation.
        task: one of `world.tasks()`.
        episodes: goal instances, of those that demonstrations are drawn from; rollouts that judge policies use others.
        steps: of each episode, at most 500; chunks are compared where they fit into the simulator's own limit.
        execute: n <= H actions between two plans.
        seed: of the goal instances.
        slots: simulators side by side.

    Raises:
        PrefalignError: for another task.
        SegmentError: for other numbers, or a planner with a single candidate.
        SimulatorError: if Meta-World is not installed.
    """
    horizon = planner.denoiser.form.horizon
    if planner.candidates < 2:
        raise SegmentError(f"{task}: expected a planner of at least 2 candidates, got {planner.candidates}")
    if min(episodes, slots) < 1 or not 1 <= execute <= horizon or not 1 <= steps <= HORIZON - horizon:
        raise SegmentError(
            f"{task}: expected episodes of 1 to {HORIZON - horizon} steps that execute 1 to {horizon} of them at a "
            f"time, got {episodes} of {steps} steps, {execute} at a time, in {slots} slots"
        )
    instances = np.random.default_rng(seed).integers(TRAINING_INSTANCES, size=episodes)
    worlds = [World(task) for _ in range(min(slots, episodes))]
    try:
        for first in range(0, episodes, slots):
            rows = range(first, min(first + slots, episodes))
            active = worlds[: len(rows)]
            seen = [world.reset(instances[row]) for world, row in zip(active, rows, strict=True)]
            for step in range(0, steps, execute):
                observations = np.asarray(seen, dtype=np.float32)
                planned = planner(observations).cpu().numpy()
                for slot, (world, row) in enumerate(zip(active, rows, strict=True)):
                    returns = chunk_returns(world, planned[slot])
                    name = f"{task}-{seed}-{row:03}-{step:03}"
                    yield chunk_record(name, task, observations[slot], planned[slot], returns)
                    for action in np.clip(planned[slot, 0, :execute], -1, 1):
                        seen[slot] = world.step(action)[0]
    finally:
        for world in worlds:
            world.close()
