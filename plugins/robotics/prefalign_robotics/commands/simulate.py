"""`prefalign robotics simulate`: episodes of a Meta-World task, and pairs of their windows that a teacher compared."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prefalign.data.store import write_records
from prefalign.interfaces import PrefalignError
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.records import comparison_records
from prefalign_robotics.simulator.episodes import Episodes, windows
from prefalign_robotics.simulator.mixture import generate_episodes
from prefalign_robotics.teacher.scripted import Answers, ScriptedTeacher

#: What the command writes into its folder.
EPISODES, PAIRS = "episodes.npz", "pairs.parquet"


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate, compare and write; returns 2 on bad input."""
    options = _parser().parse_args(argv)
    try:
        teacher = ScriptedTeacher(
            discount=options.discount,
            rationality=options.rationality,
            mistakes=options.mistakes,
            equal=options.equal,
        )
        result = simulate(options, teacher)
    except PrefalignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result, indent=2) if options.json else _text(result))
    return 0


def simulate(options: argparse.Namespace, teacher: ScriptedTeacher) -> dict[str, Any]:
    """Write both files and say what is in them."""
    # Before a minute of simulation, not after it.
    if options.pairs < 1 or 2 * options.pairs > options.episodes * max(options.steps - options.length + 1, 0):
        raise SegmentError(
            f"{options.task}: {options.episodes} episodes of {options.steps} steps do not hold {2 * options.pairs} "
            f"windows of {options.length} steps for {options.pairs} pairs; ask for fewer pairs or more episodes"
        )
    episodes = generate_episodes(options.task, options.episodes, options.steps, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    episodes.save(options.out / EPISODES)
    answers, records = compare(episodes, options.pairs, options.length, teacher, options.seed)
    write_records(records, options.out / PAIRS)
    return {
        "task": episodes.task,
        "episodes": len(episodes),
        "steps": episodes.steps,
        "succeeded": {kind: float(episodes.succeeded[episodes.kinds == kind].mean()) for kind in set(episodes.kinds)},
        "pairs": len(records),
        "ties": answers.tied,
        "mistaken": int(answers.mistaken.sum()),
        "written": [str(options.out / EPISODES), str(options.out / PAIRS)],
    }


def compare(
    episodes: Episodes, pairs: int, length: int, teacher: ScriptedTeacher, seed: int
) -> tuple[Answers, list[Any]]:
    """What the teacher says of random pairs of windows, no window in two of them; and the records of that."""
    cut = windows(episodes.settled(), 2 * pairs, length, seed)
    asked = np.arange(2 * pairs).reshape(pairs, 2)
    answers = teacher.answer(cut.rewards, asked, seed)
    return answers, comparison_records(cut.segments, answers.comparisons, "scripted")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign robotics simulate",
        description="Simulate a task of Meta-World by experts, strangers and chance, and let a teacher who knows the "
        f"reward compare stretches of it. Writes {EPISODES} and {PAIRS}.",
    )
    parser.add_argument("task", help="such as window-open")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="made if it is not there")
    parser.add_argument("--episodes", type=int, default=160, help="default %(default)s")
    parser.add_argument("--steps", type=int, default=150, help="of each episode (default %(default)s)")
    parser.add_argument("--pairs", type=int, default=1000, help="pairs of windows to compare (default %(default)s)")
    parser.add_argument("--length", type=int, default=50, help="steps of a window (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--mistakes", type=float, default=0.0, help="share of labels that are turned round")
    parser.add_argument("--rationality", type=float, help="Boltzmann's beta; always the larger return if not given")
    parser.add_argument("--discount", type=float, default=1.0, help="below 1 a window's end counts most")
    parser.add_argument("--equal", type=float, default=0.0, help="returns that differ by no more are a tie")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _text(result: dict[str, Any]) -> str:
    shares = ", ".join(f"{kind} {share:.0%}" for kind, share in sorted(result["succeeded"].items()))
    return (
        f"{result['task']}: {result['episodes']} episodes of {result['steps']} steps; succeeded: {shares}\n"
        f"{result['pairs']} pairs compared, {result['ties']} of them tied, {result['mistaken']} labelled by mistake\n"
        + "\n".join(f"written: {path}" for path in result["written"])
    )
