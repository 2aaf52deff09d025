"""`prefalign robotics demo`: labels of one simulated task find the good behaviour of another, and policies learn it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration; returns 2 on bad input."""
    options = _parser().parse_args(argv)
    # Before torch is loaded, which reads it once; two threads on two busy cores are slower than one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from prefalign.interfaces import PrefalignError

    try:
        return _run(options)
    except PrefalignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign robotics demo",
        description="Carry preferences over from one simulated task to another, learn a reward and policies, measure. "
        "What the folder holds already is not made again: a stopped run goes on, and seeds can be added.",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/robotics"), help="folder for everything (%(default)s)")
    parser.add_argument("--pairs", metavar="SOURCE:TARGET,…", help="pairs of tasks (default: four; with --quick, one)")
    parser.add_argument("--seeds", default="0", help="seeds, comma-separated (default 0)")
    parser.add_argument("--episodes", type=int, help="of each task (default 160; with --quick, 80)")
    parser.add_argument("--arms", help="policies, comma-separated, or 'all' (default: four by cloning and two by IQL)")
    parser.add_argument(
        "--label-noise", default="", metavar="SHARES", help="also learn from so many wrong labels: 0.2,0.35"
    )
    parser.add_argument("--quick", action="store_true", help="less of everything, for a first look")
    parser.add_argument("--prepare-only", action="store_true", help="simulate and transfer, learn nothing")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    return parser


def _run(options: argparse.Namespace) -> int:
    import dataclasses

    from prefalign_robotics.demo import behaviour, plan, preparation, report, runs
    from prefalign_robotics.demo.files import write_json

    # After Lightning is loaded, which sets it; each of many small trainings would say what hardware it found.
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    made = plan.QUICK if options.quick else plan.Plan()
    if options.episodes is not None:
        made = dataclasses.replace(made, episodes=options.episodes)
    pairs = plan.parse_pairs(options.pairs or (plan.PAIRS.split(",")[0] if options.quick else plan.PAIRS))
    seeds = plan.parse_seeds(options.seeds)
    shares = plan.parse_shares(options.label_noise)
    wanted = options.arms or (behaviour.QUICK if options.quick else behaviour.DEFAULT)
    arms = list(behaviour.ARMS) if wanted == "all" else plan.parse_names(wanted, "arm", behaviour.ARMS)
    plan.claim(options.out, made)
    started = time.perf_counter()
    # Seed by seed, so that a comparison that is stopped has whole seeds.
    for seed in seeds:
        for source, target in pairs:

            def log(line: str, name: str = f"{source} → {target}, seed {seed}") -> None:
                print(f"[{time.perf_counter() - started:5.0f} s] {name}: {line}", file=sys.stderr, flush=True)

            if options.prepare_only:
                preparation.prepare(options.out, source, target, seed, made, log)
                continue
            runs.run(options.out, source, target, seed, made, arms, shares, log)
            found = runs.results(options.out)
            text = report.report(found)
            (options.out / "results.md").write_text(text + "\n", encoding="utf-8")
            write_json(options.out / "results.json", {"results": found})
    if options.prepare_only:
        return 0
    print(
        json.dumps({"results": found}, indent=2) if options.json else f"{text}\n\n{_pages(options.out, pairs, seeds)}"
    )
    return 0


def _pages(out: Path, pairs: Sequence[tuple[str, str]], seeds: Sequence[int]) -> str:
    from prefalign_robotics.demo.preparation import run_folder

    return f"To look at a run: prefalign robotics look {run_folder(out, *pairs[0], seeds[0])}"
