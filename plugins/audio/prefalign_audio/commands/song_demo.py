"""`prefalign audio song-demo`: a small song model, aligned with three criteria at once."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DEFAULT = "lyric,prompt,musicality"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration; returns 1 if a rule fails, and 2 for what cannot be run."""
    options = _parser().parse_args(argv)
    # Before torch is loaded, which reads it once.
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    started = time.perf_counter()

    def log(line: str) -> None:
        print(f"[{time.perf_counter() - started:5.0f} s] {line}", file=sys.stderr, flush=True)

    from prefalign.interfaces import PrefalignError

    try:
        return _run(options, log)
    except PrefalignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign audio song-demo",
        description="Train a small song model on chorales, tune it on three criteria, merge, and measure.",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/songs"), help="folder for everything")
    parser.add_argument("--seeds", default="0", help="seeds, comma-separated (default 0)")
    parser.add_argument("--arms", help=f"arms, comma-separated, or 'all' (default {DEFAULT})")
    parser.add_argument("--prepare-only", action="store_true", help="make base, judges and pairs, tune nothing")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1, enough for this size)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    return parser


def _run(options: argparse.Namespace, log: Any) -> int:
    from prefalign_audio.song_demo.arms import ARMS
    from prefalign_audio.song_demo.preparation import Plan, prepare
    from prefalign_audio.song_demo.runs import check_arms, run_seed
    from prefalign_audio.song_demo.world import open_world

    wanted = options.arms or DEFAULT
    names = list(ARMS) if wanted == "all" else wanted.split(",")
    check_arms(names)
    plan, seeds = Plan(), _seeds(options.seeds)
    world = open_world(options.out)
    log(f"{len(world.trained)} phrases of chorales to train on, {len(world.held_out)} held out")
    results: dict[str, dict[int, dict[str, float]]] = {}
    rules: dict[str, list[bool]] = {}
    for seed in seeds:

        def seed_log(line: str, seed: int = seed) -> None:
            log(f"seed {seed}: {line}")

        folder = options.out / f"seed{seed}"
        if options.prepare_only:
            prepare(folder, world, seed, plan, seed_log)
            continue
        prepared, figures = run_seed(folder, world, seed, names, plan, seed_log)
        for name, row in figures.items():
            results.setdefault(name, {})[seed] = row
        if seed == seeds[0] and "searched" in figures:
            _listening(prepared, plan, options.out)
        # After every seed, so that an interrupted comparison leaves a report.
        rules = _write(options.out, results)
    if options.prepare_only:
        return 0
    log("done")
    print((options.out / "results.json").read_text("utf-8") if options.json else _spoken(options.out, seeds, rules))
    return 0 if all(all(answers) for answers in rules.values()) else 1


def _seeds(text: str) -> list[int]:
    from prefalign.interfaces import PrefalignError

    parts = [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if not (part.isascii() and part.isdigit())]
    if wrong:
        raise PrefalignError(f"--seeds: expected whole numbers from 0 up, such as 0,1,2; got {wrong[0]!r}")
    # A seed given twice would make the spread look smaller than it is.
    return list(dict.fromkeys(map(int, parts)))


def _write(out: Path, results: Any) -> dict[str, list[bool]]:
    from prefalign_audio.commands.pareto import write_report
    from prefalign_audio.song_demo.report import differences, points, table, verdicts

    rules = verdicts(results)
    document = points(results)
    (out / "points.json").write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    write_report(document, out)
    plain = {"figures": results, "rules": rules}
    (out / "results.json").write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    (out / "results.md").write_text(f"{table(results)}\n\n{differences(results)}\n", encoding="utf-8")
    return rules


def _listening(prepared: Any, plan: Any, out: Path) -> None:
    from safetensors.torch import load_file

    from prefalign_audio.song_demo.arms import CRITERIA
    from prefalign_audio.song_demo.listening import write_page
    from prefalign_audio.song_demo.merges import merged
    from prefalign_audio.song_demo.runs import Bench

    folder, found = prepared.folder, json.loads((prepared.folder / "merges.json").read_text("utf-8"))
    base = load_file(folder / "base" / "export" / "model.safetensors")
    models = {name: load_file(folder / "arms" / name / "export" / "model.safetensors") for name in CRITERIA}
    write_page(Bench(prepared, plan), base, merged(models, base, tuple(found["worst"])), out / "listen")


def _spoken(out: Path, seeds: Sequence[int], rules: dict[str, list[bool]]) -> str:
    lines = [
        "",
        f"Songs to lyrics that training never saw, {len(seeds)} seed{'s' * (len(seeds) > 1)}:",
        "",
        (out / "results.md").read_text("utf-8"),
    ]
    lines += [
        f"{'passed' if all(answers) else 'FAILED'}: {rule} ({sum(answers)} of {len(answers)} seeds)"
        for rule, answers in rules.items()
    ]
    lines += ["", f"Picture: {out / 'pareto.png'}"]
    if (out / "listen" / "index.html").is_file():
        lines.append(f"Songs before and after: {out / 'listen' / 'index.html'}")
    return "\n".join(lines)
