"""`prefalign robotics candidates`: what a diffusion policy would do, compared in a simulator."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from prefalign.interfaces import PrefalignError
from prefalign_robotics.policies.diffusion.preparation import Plan, prepare

_HELP = {
    "task": "of Meta-World",
    "demonstrations": "episodes that are imitated",
    "steps": "of each episode",
    "imitation_steps": "of the optimiser",
    "horizon": "steps of a chunk",
    "candidates": "chunks that are compared at a state",
    "episodes": "of the policy, in which states are met",
    "execute": "actions of each chunk that are executed",
    "seed": "of everything",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare a folder; returns 2 on bad input."""
    options = vars(_parser().parse_args(argv))
    out, policy = options.pop("out"), options.pop("policy")
    try:
        prepare(out, Plan(**options), policy, print)
    except PrefalignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"written to {out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign robotics candidates",
        description="Let a diffusion policy propose chunks of actions, and compare what they earn in Meta-World.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="what is written")
    parser.add_argument("--policy", type=Path, metavar="FOLDER", help="who proposes; one that imitates if not given")
    for field in fields(Plan):
        name, kind = f"--{field.name.replace('_', '-')}", type(field.default)
        parser.add_argument(name, type=kind, default=field.default, help=f"{_HELP[field.name]} (default %(default)s)")
    return parser
