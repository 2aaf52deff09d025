"""One pair of tasks and one seed from end to end, and the results of all that a folder holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from prefalign_robotics.demo.behaviour import ARMS, Judged, behave
from prefalign_robotics.demo.files import read_json, write_arrays, write_json
from prefalign_robotics.demo.learning import learn, step_rewards
from prefalign_robotics.demo.noise import endure
from prefalign_robotics.demo.plan import Plan
from prefalign_robotics.demo.preparation import Log, Prepared, prepare, run_folder
from prefalign_robotics.demo.ranking import ranking
from prefalign_robotics.rewards.mlp import MarkovReward

#: What each results.json holds.
SCHEMA = ("source", "target", "seed", "plan", "transfer", "ranking", "policies", "noise")


def run(
    root: Path,
    source: str,
    target: str,
    seed: int,
    plan: Plan,
    arms: Sequence[str],
    noise: Sequence[float],
    log: Log,
) -> dict[str, Any]:
    """Transfer, learn, rank, clone, and write `results.json`; what was done before is taken from its files.

    Arms and shares of earlier calls stay in the results, and are made again if what they depend on has changed.

    Args:
        root: of the demonstration.
        source, target: tasks.
        seed: of everything.
        plan: how much.
        arms: names out of `behaviour.ARMS`.
        noise: shares of wrong labels for `noise.endure`.
        log: told what is done.
    """
    file = run_folder(root, source, target, seed) / "results.json"
    earlier = read_json(file, SCHEMA) if file.exists() else {"policies": {}, "noise": {}}
    prepared = prepare(root, source, target, seed, plan, log)
    log("reward: training through `prefalign fit`")
    reward = learn(prepared.folder / "pairs.parquet", prepared.folder / "reward", seed, plan.reward_steps)
    judged = judge(prepared, reward, seed)
    found: dict[str, Any] = {
        "source": source,
        "target": target,
        "seed": seed,
        "plan": asdict(plan),
        "transfer": prepared.facts,
        "ranking": ranking(judged.episodes, {name: judged.scores[name] for name in ("learned", "rule", "return")}),
        "policies": {},
        "noise": {},
    }
    if agreed := found["ranking"]["all"]["learned"]:
        log(f"Spearman of the learned reward with the true return: {agreed['spearman']:.3f}")
    for name in ARMS:
        if name in arms or name in earlier["policies"]:
            achieved = behave(name, judged, prepared.folder / "rollouts", seed, plan, log)
            if achieved is not None:
                found["policies"][name] = achieved
    for share in sorted({*noise, *map(float, earlier["noise"])}):
        found["noise"][f"{share:g}"] = endure(prepared, share, seed, plan, log)
    write_json(file, found)
    return found


def results(root: Path) -> list[dict[str, Any]]:
    """Of every pair and seed that a folder holds, sorted by pair and seed.

    Raises:
        SegmentError: for a damaged file.
    """
    found = [read_json(file, SCHEMA) for file in sorted(root.glob("*--*/seed*/results.json"))]
    return sorted(found, key=lambda one: (one["source"], one["target"], one["seed"]))


def judge(prepared: Prepared, reward: MarkovReward, seed: int) -> Judged:
    """The target's episodes by all that has an opinion of them; the page finds the steps in `rewards.npz`."""
    episodes = prepared.episodes
    mean, deviation = step_rewards(reward, episodes.settled().as_segments())
    write_arrays(
        prepared.folder / "rewards.npz",
        mean=mean,
        deviation=deviation,
        rewards=episodes.rewards,
        success=episodes.success,
    )
    scores = {
        "learned": mean.sum(1, dtype=np.float64),
        "rule": prepared.rule,
        "return": episodes.returns,
        "random": np.random.default_rng(seed).random(len(episodes)),
    }
    return Judged(episodes, scores, {"learned": mean, "return": episodes.rewards})
