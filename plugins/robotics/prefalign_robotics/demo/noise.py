"""What wrong labels cost: PEARL's objective beside plain Bradley and Terry, on the target's own labels."""

from __future__ import annotations

import numpy as np

from prefalign.data.store import write_parquet
from prefalign_robotics.demo.learning import OBJECTIVES, learn, step_rewards
from prefalign_robotics.demo.plan import Plan
from prefalign_robotics.demo.preparation import Log, Prepared
from prefalign_robotics.demo.ranking import agreement
from prefalign_robotics.segments.records import comparison_records
from prefalign_robotics.segments.segments import all_pairs
from prefalign_robotics.simulator.episodes import Windows, windows
from prefalign_robotics.teacher.scripted import ScriptedTeacher

#: Pairs that are labelled, windows they are drawn from, and fresh windows, all of whose pairs judge.
PAIRS, SEEN, FRESH = 400, 200, 200
#: Of the episodes; fresh windows come from the rest, so that no frame of them was trained on.
TRAINING = 0.75


def endure(prepared: Prepared, share: float, seed: int, plan: Plan, log: Log) -> dict[str, float]:
    """Share of fresh pairs that rewards order rightly, by `OBJECTIVES`, if a share of the training labels is wrong.

    Args:
        prepared: the target's episodes; what was transferred is not used.
        share: of the labels, in [0, 1/2).
        seed: of windows, mistakes and training.
        plan: how much.
        log: told what is found.
    """
    seen, fresh = _windows(prepared, seed, plan)
    folder = prepared.folder / f"noise{share:g}"
    folder.mkdir(exist_ok=True)
    pairs = np.random.default_rng(seed).permutation(all_pairs(len(seen.rewards)))[:PAIRS]
    said = ScriptedTeacher(mistakes=share, ties="omit").answer(seen.rewards, pairs, seed).comparisons
    # Labels are told as certain: neither objective knows how many of them are wrong.
    write_parquet(comparison_records(seen.segments, said, "scripted"), folder / "pairs.parquet")
    found = {}
    for objective in OBJECTIVES:
        reward = learn(folder / "pairs.parquet", folder / objective, seed, plan.reward_steps, objective)
        judged = agreement(step_rewards(reward, fresh.segments)[0].sum(1), fresh.returns)
        found[objective] = judged["pair_accuracy"] if judged else 0.5
    log(f"{share:.0%} wrong labels: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()))
    return found


def _windows(prepared: Prepared, seed: int, plan: Plan) -> tuple[Windows, Windows]:
    """Windows to learn from, and fresh ones of other episodes."""
    settled = prepared.episodes.settled()
    # Kinds take turns, so that both parts are mixtures of the same sort.
    first = round(TRAINING * len(settled))
    parts = settled.select(np.arange(first)), settled.select(np.arange(first, len(settled)))
    return windows(parts[0], SEEN, plan.length, seed), windows(parts[1], FRESH, plan.length, seed)
