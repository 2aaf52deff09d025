"""`prefalign mesh3d demo`: a small mesh generator, tuned on preferences about its own meshes."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DEFAULT = "coin,rft,dpo"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration; returns 1 if a rule fails."""
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
        prog="prefalign mesh3d demo",
        description="Train a small mesh generator on furniture made of boxes, tune it on preferences, and measure.",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/mesh3d"), help="folder for everything")
    parser.add_argument("--seeds", default="0", help="seeds, comma-separated (default 0)")
    parser.add_argument("--arms", help=f"arms, comma-separated, or 'all' (default {DEFAULT})")
    parser.add_argument("--prepare-only", action="store_true", help="make base and pairs, tune nothing")
    parser.add_argument("--steps", type=int, help="of the supervised training (default 700)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1, enough for this size)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    return parser


def _run(options: argparse.Namespace, log: Any) -> int:
    from prefalign_mesh3d.demo.arms import ARMS
    from prefalign_mesh3d.demo.preparation import Plan, prepare
    from prefalign_mesh3d.demo.runs import check_arms, run_seed

    wanted = options.arms or DEFAULT
    names = list(ARMS) if wanted == "all" else wanted.split(",")
    check_arms(names)
    plan = Plan() if options.steps is None else Plan(steps=options.steps)
    seeds = _seeds(options.seeds)
    results: dict[str, list[dict[str, float]]] = {}
    facts = {}
    for seed in seeds:

        def seed_log(line: str, seed: int = seed) -> None:
            log(f"seed {seed}: {line}")

        folder = options.out / f"seed{seed}"
        if options.prepare_only:
            prepare(folder, seed, plan, seed_log)
            continue
        prepared, figures = run_seed(folder, seed, names, plan, seed_log)
        facts[seed] = prepared.facts
        for name, row in figures.items():
            results.setdefault(name, []).append(row)
        if seed == seeds[0] and "dpo" in names:
            _picture(options.out, prepared, seed)
        # After every seed, so that an interrupted comparison leaves a table.
        rules = _write(options.out, [*facts], results, facts)
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


def _write(out: Path, seeds: Sequence[int], results: Any, facts: Any) -> dict[str, list[bool]]:
    from prefalign_mesh3d.demo.report import differences, table, verdicts
    from prefalign_mesh3d.demo.runs import TEMPERATURES

    rules = verdicts(results)
    plain = {"seeds": seeds, "figures": results, "facts": facts, "rules": rules}
    (out / "results.json").write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    parts = [part(results, t) for part in (table, differences) for t in TEMPERATURES]
    (out / "results.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return rules


def _picture(out: Path, prepared: Any, seed: int) -> None:
    from prefalign_mesh3d.demo.arms import arm_folder
    from prefalign_mesh3d.demo.pictures import draw_comparison

    draw_comparison(prepared, arm_folder(prepared.folder / "arms", "dpo") / "export", out / "meshes", seed)


def _spoken(out: Path, seeds: Sequence[int], rules: dict[str, list[bool]]) -> str:
    lines = [
        "",
        f"Meshes for clouds of furniture that training never saw, {len(seeds)} seed{'s' * (len(seeds) > 1)}:",
        "",
        (out / "results.md").read_text("utf-8"),
    ]
    lines += [
        f"{'passed' if all(answers) else 'FAILED'}: {rule} ({sum(answers)} of {len(answers)} seeds)"
        for rule, answers in rules.items()
    ]
    if (out / "meshes").is_dir():
        lines += ["", f"Meshes before and after: {out / 'meshes' / 'comparison.png'}, and GLB files beside it"]
    return "\n".join(lines)
