"""Policies from chosen episodes, and what each achieves on goal instances that no episode had."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prefalign.evaluation.bootstrap import Interval
from prefalign_robotics.demo.plan import Plan
from prefalign_robotics.demo.preparation import Log
from prefalign_robotics.policies.cloning import best_share, clone
from prefalign_robotics.policies.iql import learn_iql
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.episodes import Episodes, load_episodes
from prefalign_robotics.simulator.rollouts import mean_interval, roll_out, success_interval

#: Of the episodes that are chosen from.
SHARE = 0.25
#: Fewer successful episodes are not chosen from.
LEAST = 4
#: For IQL in thousands of steps, where published runs take a million: values reach back 33 steps, critics follow fast,
#: and a sharp weight finds what was done well. Chosen on window-open, seed 0, by the true reward and ten goals: success
#: 0.10 with the published settings, 0.70 with these at temperature 10, and 1.00 at 30.
IQL: dict[str, Any] = {"discount": 0.97, "temperature": 30.0, "learning_rate": 1e-3, "rate": 0.02}


@dataclass(frozen=True)
class Arm:
    """A row of the table.

    Attributes:
        title: what the table calls it.
        by: the scores whose best share is cloned, or the rewards of single steps that IQL learns from; None to clone
            all episodes.
        successful: choose among successful episodes only, so that success itself is no help.
        iql: learn from all episodes by implicit Q-learning, instead of cloning some.
    """

    title: str
    by: str | None = None
    successful: bool = False
    iql: bool = False


ARMS: dict[str, Arm] = {
    "all": Arm("cloning, all episodes"),
    "random": Arm("cloning, a random quarter", "random"),
    "scored": Arm("cloning, best quarter by the learned reward", "learned"),
    "true_return": Arm("cloning, best quarter by true return", "return"),
    "iql_learned": Arm("IQL on the learned reward", "learned", iql=True),
    "iql_true": Arm("IQL on the true reward", "return", iql=True),
    "success_random": Arm("cloning of the successful, a random quarter", "random", True),
    "success_scored": Arm("cloning of the successful, best quarter by the learned reward", "learned", True),
    "success_rule": Arm("cloning of the successful, best quarter by the rule without labels", "rule", True),
    "success_true": Arm("cloning of the successful, best quarter by true return", "return", True),
}
QUICK = "all,random,scored,true_return"
DEFAULT = f"{QUICK},iql_learned,iql_true"


@dataclass(frozen=True, eq=False)
class Judged:
    """Episodes, and what is thought of them.

    Attributes:
        episodes: E of the target, as simulated.
        scores: (E,) of whole episodes, by name.
        steps: (E, T) rewards of their steps, by name.
    """

    episodes: Episodes
    scores: Mapping[str, np.ndarray]
    steps: Mapping[str, np.ndarray]


def chosen(name: str, judged: Judged) -> Episodes | None:
    """The episodes that an arm learns from, best first; None where too few succeeded to choose from."""
    arm, episodes = ARMS[name], judged.episodes
    if arm.by is None or arm.iql:
        return episodes
    pool = np.flatnonzero(episodes.succeeded) if arm.successful else np.arange(len(episodes))
    return best_share(episodes.select(pool), judged.scores[arm.by][pool], SHARE) if len(pool) >= LEAST else None


def behave(name: str, judged: Judged, folder: Path, seed: int, plan: Plan, log: Log) -> dict[str, Any] | None:
    """What the policy of an arm achieves, or None where there is none; its rollouts are kept.

    Their file is named after all that they depend on, so that rollouts of another reward are never taken for its own.

    Args:
        name: of the arm.
        judged: what it learns from.
        folder: of rollouts.
        seed: of weights, batches and goal instances, which are the same for all arms.
        plan: how much.
        log: told what is done.

    Raises:
        SegmentError: for a damaged file of rollouts.
    """
    some = chosen(name, judged)
    if some is None:
        log(f"{name}: left out, fewer than {LEAST} episodes succeeded")
        return None
    arm = ARMS[name]
    rewards = judged.steps[arm.by] if arm.by and arm.iql else None
    steps = plan.cloning_steps if rewards is None else plan.iql_steps
    settings = seed, steps, plan.rollouts, plan.steps, *(() if rewards is None else IQL.values())
    file = folder / f"{name}-{_key(some, rewards, settings)}.npz"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        learned = (
            clone(some, steps, seed=seed) if rewards is None else learn_iql(some, rewards, steps, seed=seed, **IQL)
        )
        roll_out(learned.act, some.task, plan.rollouts, plan.steps, seed).save(file)
    figures = {**achieved(read_rollouts(file)), "learned_from": len(some), "successful": float(some.succeeded.mean())}
    log(f"{name}: success {figures['success']['estimate']:.2f}, return {figures['mean_return']['estimate']:.0f}")
    return {**figures, "rollouts": file.name}


def read_rollouts(file: Path) -> Episodes:
    """Rollouts that `behave` wrote.

    Raises:
        SegmentError: naming the file, if it is damaged.
    """
    try:
        return load_episodes(file)
    except SegmentError as error:
        raise SegmentError(f"{error}; delete it, and the demonstration makes it again") from None


def achieved(found: Episodes) -> dict[str, Any]:
    """Success with Wilson's interval, mean return with a bootstrap interval, mean steps to success (None without)."""
    first = found.success.argmax(1)[found.succeeded]
    return {
        "success": _bounds(success_interval(found.succeeded)),
        "mean_return": _bounds(mean_interval(found.returns)),
        "steps_to_success": float(first.mean() + 1) if len(first) else None,
    }


def _bounds(found: Interval) -> dict[str, float]:
    return {"estimate": found.estimate, "low": found.low, "high": found.high}


def _key(some: Episodes, rewards: np.ndarray | None, settings: tuple[float, ...]) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    for array in (some.observations, some.actions, *([] if rewards is None else [rewards])):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]
