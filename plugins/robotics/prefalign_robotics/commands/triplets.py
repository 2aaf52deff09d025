"""`prefalign robotics triplets`: threes of episodes that a teacher ranked, the best of each as anchor of the others."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from prefalign.data.store import write_records
from prefalign.interfaces import PrefalignError
from prefalign.interfaces.verdict import pairs
from prefalign_robotics.rewards.alignment.triplets import triplets
from prefalign_robotics.simulator.episodes import load_episodes
from prefalign_robotics.teacher.scripted import ScriptedTeacher


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and write; returns 2 on bad input."""
    options = _parser().parse_args(argv)
    try:
        teacher = ScriptedTeacher(rationality=options.rationality, mistakes=options.mistakes, equal=options.equal)
        episodes = load_episodes(options.episodes)
        segments = episodes.settled().as_segments()
        records = triplets(segments, episodes.rewards, options.count, teacher, options.seed)
        write_records(records, options.out)
    except PrefalignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    ties = sum(pair.tie for record in records for pair in pairs(record.verdict))
    result = {"task": episodes.task, "triplets": len(records), "ties": ties, "written": str(options.out)}
    text = f"{episodes.task}: {len(records)} triplets, {ties} of them tied\nwritten: {options.out}"
    print(json.dumps(result, indent=2) if options.json else text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign robotics triplets",
        description="Let a teacher who knows the reward rank threes of episodes, for robotics/rapl to learn from.",
    )
    parser.add_argument("episodes", type=Path, metavar="EPISODES.npz", help="what prefalign robotics simulate wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="TRIPLETS.parquet")
    parser.add_argument("--count", type=int, default=150, help="of threes (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--mistakes", type=float, default=0.0, help="share of comparisons that are turned round")
    parser.add_argument("--rationality", type=float, help="Boltzmann's beta; always the larger return if not given")
    parser.add_argument("--equal", type=float, default=0.0, help="returns that differ by no more are a tie")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser
