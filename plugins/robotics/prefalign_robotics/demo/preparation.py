"""Everything before the reward: behaviour in two tasks, labels in one, and what they say of the other.

The method is the mean of three answers (`transfer_by_vote`), all on features of contact, displacement and end that are
learned from unlabelled episodes of each task. Source labels come from the simulator's returns. No label and no reward
of the target enters; they only judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from prefalign.data.store import write_parquet
from prefalign_robotics.demo.files import read_arrays, read_json, write_arrays, write_json
from prefalign_robotics.demo.plan import Plan
from prefalign_robotics.segments.segments import Segments, all_pairs
from prefalign_robotics.simulator.episodes import Episodes, Windows, windows
from prefalign_robotics.simulator.mixture import generate_episodes
from prefalign_robotics.teacher.scripted import ScriptedTeacher
from prefalign_robotics.transfer.couplings import Gromov
from prefalign_robotics.transfer.ensemble import GROMOV_EPSILON, transfer_by_vote
from prefalign_robotics.transfer.features import flattened, standardised
from prefalign_robotics.transfer.learned.features import PROGRESS, learn_features
from prefalign_robotics.transfer.learned.windows import cut, observed
from prefalign_robotics.transfer.records import transferred_records
from prefalign_robotics.transfer.report import assess
from prefalign_robotics.transfer.transfer import Transfer

_FACTS = ("accuracy", "confident_half", "curve", "rule_accuracy")

Log = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the reward and the policies start from.

    Attributes:
        folder: holds `pairs.parquet`, the transferred preferences.
        episodes: of the target, as simulated.
        rule: (E,) what features of progress say of each episode without any label.
        facts: how good the transfer is.
    """

    folder: Path
    episodes: Episodes
    rule: np.ndarray
    facts: dict[str, Any]


def prepare(root: Path, source: str, target: str, seed: int, plan: Plan, log: Log) -> Prepared:
    """Simulate, transfer and write; what exists is taken as it is.

    Args:
        root: of the demonstration. Episodes are shared by all pairs of a seed.
        source, target: tasks.
        seed: of episodes, windows and the choice of pairs.
        plan: how much.
        log: told what is done.

    Raises:
        PrefalignError: for an unknown task or damaged files.
    """
    folder = run_folder(root, source, target, seed)
    episodes = _episodes(root, target, seed, plan, log)
    facts, arrays = folder / "transfer.json", folder / "transfer.npz"
    if not facts.exists():
        folder.mkdir(parents=True, exist_ok=True)
        known = _windows(_episodes(root, source, seed, plan, log), seed, plan)
        asked = _windows(episodes, seed, plan)
        found = transfer(known, asked, plan)
        chosen = np.random.default_rng(seed).permutation(len(found.pairs))[: plan.pairs]
        labelled = Transfer(found.pairs[chosen], found.margins[chosen])
        write_parquet(transferred_records(asked.windows.segments, labelled), folder / "pairs.parquet")
        write_arrays(arrays, rule=_rule(asked.values), **_coupling(known, asked, plan))
        # Written last, so that all is there if it is.
        write_json(facts, judge(found, asked))
    said = read_json(facts, _FACTS)
    log(
        f"transferred labels are right on {said['accuracy']:.3f} of the pairs, of the confident half on "
        f"{said['confident_half']:.3f}; a rule without labels on {said['rule_accuracy']:.3f}"
    )
    return Prepared(folder, episodes, read_arrays(arrays, {"rule": 1})["rule"], said)


def run_folder(root: Path, source: str, target: str, seed: int) -> Path:
    """Where a pair of tasks and seed lives."""
    return root / f"{source}--{target}" / f"seed{seed}"


class _Task(NamedTuple):
    """One task: (E, T, 3) learned features of whole episodes, windows, and the same windows seen as features."""

    values: np.ndarray
    windows: Windows
    segments: Segments


def transfer(known: _Task, asked: _Task, plan: Plan) -> Transfer:
    """Preferences for all pairs of target windows inside each block, with the transfers' flip risk and doubts."""
    pairs = all_pairs(plan.block)
    answers, asked_pairs, risks = [], [], []
    doubts: list[str] = []
    for block in range(plan.blocks):
        rows = np.arange(block * plan.block, (block + 1) * plan.block)
        comparisons = ScriptedTeacher().answer(known.windows.rewards[rows], pairs).comparisons
        given = known.segments.select(rows), comparisons, asked.segments.select(rows)
        voted = transfer_by_vote(*given, features=observed)
        answers.append(voted.margins)
        asked_pairs.append(rows[pairs])
        risks.append(voted.diagnostics["flip_risk"])
        doubts += voted.warnings
    risk = float(np.mean(np.array(risks, dtype=float)))
    return Transfer(
        np.concatenate(asked_pairs),
        np.concatenate(answers),
        diagnostics={"flip_risk": risk},
        warnings=_counted(doubts, plan.blocks),
    )


def _counted(doubts: Sequence[str], blocks: int) -> tuple[str, ...]:
    """Each kind of doubt once: how often it was raised, and what was said first."""
    kinds: dict[str, list[str]] = {}
    for doubt in doubts:
        # Figures stand behind the kind, in brackets.
        kinds.setdefault(doubt.split("(")[0], []).append(doubt)
    return tuple(f"{len(said)} × in {blocks} blocks: {said[0]}" for said in kinds.values())


def judge(found: Transfer, asked: _Task) -> dict[str, Any]:
    """How good transferred labels are by the target's returns, beside a rule that uses no label."""
    returns, scores = asked.windows.returns, _rule(asked.segments.observations)
    first, second = found.pairs.T
    labels = 0.5 + 0.5 * np.sign(returns[second] - returns[first])
    return {
        **assess(found, labels),
        "rule_accuracy": assess(Transfer(found.pairs, scores[second] - scores[first]), labels)["accuracy"],
        "flip_risk": found.diagnostics["flip_risk"],
        "warnings": list(found.warnings),
    }


def _episodes(root: Path, task: str, seed: int, plan: Plan, log: Log) -> Episodes:
    log(f"{plan.episodes} episodes of {task}")
    return generate_episodes(task, plan.episodes, plan.steps, seed, cache=root / "episodes")


def _windows(episodes: Episodes, seed: int, plan: Plan) -> _Task:
    settled = episodes.settled()
    whole = settled.as_segments()
    values = learn_features(whole)(whole)
    drawn = windows(settled, plan.block * plan.blocks, plan.length, seed)
    seen = cut(values, drawn.episodes, drawn.starts, plan.length).astype(np.float32)
    return _Task(values, drawn, Segments(seen, drawn.segments.actions, episodes.task))


def _rule(values: np.ndarray) -> np.ndarray:
    """(N,) progress of segments by their (N, T, 3) features: near contact, far from the start, near the end."""
    found: np.ndarray = standardised(values).mean(1) @ np.array(PROGRESS)
    return found


def _coupling(known: _Task, asked: _Task, plan: Plan) -> dict[str, np.ndarray]:
    """Gromov's coupling (n, m) of the first block, and the returns of its windows, for the page."""
    rows = np.arange(plan.block)
    source, target = (flattened(observed(task.segments.select(rows)))[None] for task in (known, asked))
    return {
        "coupling": Gromov().couple(source, target, GROMOV_EPSILON).coupling[0].numpy(),
        "source_returns": known.windows.returns[rows],
        "target_returns": asked.windows.returns[rows],
    }
