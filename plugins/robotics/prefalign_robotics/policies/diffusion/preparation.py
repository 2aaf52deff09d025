"""All that tuning a diffusion policy begins with: a policy that imitates, and its candidates compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from prefalign.data.store import write_records
from prefalign.interfaces import Group
from prefalign_robotics.policies.diffusion.acting import Planner
from prefalign_robotics.policies.diffusion.candidates import compare_candidates
from prefalign_robotics.policies.diffusion.denoiser import ActionDenoiser
from prefalign_robotics.policies.diffusion.imitation import ImitationSettings, imitate
from prefalign_robotics.simulator.mixture import generate_episodes

#: What a prepared folder holds: the policy that imitates, the records of its candidates, and how both were made.
BASE, CANDIDATES, PLAN = "base", "candidates.parquet", "plan.json"


@dataclass(frozen=True)
class Plan:
    """How a folder is prepared.

    Attributes:
        task: of Meta-World.
        demonstrations: episodes of a mixture of experts, strangers and chance, all of which are imitated, so that the
            policy is a weak one whose candidates differ.
        steps: of each episode.
        imitation_steps: of the optimiser.
        horizon: H steps of a chunk.
        candidates: C chunks that are compared at a state.
        episodes: of the policy, in which states are met.
        execute: n actions of each chunk that are executed.
        seed: of everything.
    """

    task: str = "window-open"
    demonstrations: int = 80
    steps: int = 150
    imitation_steps: int = 1000
    horizon: int = 8
    candidates: int = 8
    episodes: int = 15
    execute: int = 4
    seed: int = 0


def prepare(folder: Path, plan: Plan, policy: Path | None = None, log: Callable[[str], None] = lambda _: None) -> None:
    """Write the folder; one that was prepared by the same plan is left as it is.

    Args:
        folder: where `base`, `candidates.parquet` and `plan.json` come to stand. Simulated episodes are kept beside
            them.
        plan: sizes and seed.
        policy: folder of a policy that proposes, instead of one that imitates; `base` is then a copy of it.
        log: told what is done.

    Raises:
        PrefalignError: for an unknown task, or a policy that cannot be read.
        SegmentError: for sizes out of range.
        SimulatorError: if Meta-World is not installed.
    """
    made = {**asdict(plan), "policy": None if policy is None else str(policy)}
    written = folder / PLAN
    if written.is_file() and json.loads(written.read_text("utf-8")) == made:
        log(f"{folder} is prepared already")
        return
    if policy is None:
        episodes = generate_episodes(plan.task, plan.demonstrations, plan.steps, plan.seed, cache=folder / "episodes")
        log(f"imitating {len(episodes)} episodes, of which {episodes.succeeded.mean():.2f} do the task")
        settings = ImitationSettings(steps=plan.imitation_steps)
        denoiser = imitate(episodes, plan.horizon, seed=plan.seed, settings=settings)
    else:
        denoiser = ActionDenoiser(str(policy))
        denoiser.configure_model()
    denoiser.save_pretrained(folder / BASE)
    planner = Planner(denoiser, candidates=plan.candidates, seed=plan.seed)
    # Another seed than the demonstrations', whose goal instances would be met again.
    records = list(compare_candidates(planner, plan.task, plan.episodes, plan.steps, plan.execute, plan.seed + 1))
    write_records(records, folder / CANDIDATES)
    written.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    returns = np.array([record.verdict.rewards for record in records if isinstance(record.verdict, Group)])
    log(
        f"compared {plan.candidates} candidates at {len(records)} states: the best earns "
        f"{(returns.max(1) - returns.mean(1)).mean():.3f} more than the mean, {returns.mean():.3f}"
    )
