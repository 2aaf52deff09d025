"""What a fixed number K of noise draws for each record costs in accuracy, on the sound demonstration's small world.

    python benchmarks/replays.py --seeds 0,1,2 --out runs/replays

A record meets K draws of (noise level, noise) in turn; without a K it meets a new one at every visit. A cached
reference needs a K, and its one pass over the data costs K forward passes for each record, so a small K is wanted.

Diffusion DPO and reward-weighted fine-tuning (BATON without its regulariser) each train as `prefalign audio demo`
trains them, but for K and for the number of records. With all records a run visits each of them a few times, and any K
at or above that number is the same run as one without a K; so a second set has so few records that each is visited 30
times.
DPO reads its reference from the cache wherever there is a K, as a user would. Judged by the demonstration's own judge,
which training never saw, on the same captions and sampling noise for every run of a seed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

METHODS = {"dpo": "DPO, β = 20", "baton_0": "BATON, β = 0"}
BATCHES = {"all": None, "few": 10}  # of records in a set; 300 steps visit each record of 10 batches 30 times
COUNTS: tuple[int | None, ...] = (1, 4, 16, None)
SAMPLES = 10  # of each caption, as in the demonstration

Row = dict[str, Any]


def study_seed(
    folder: Path,
    seed: int,
    counts: Sequence[int | None],
    methods: Sequence[str],
    sets: Sequence[str],
    log: Callable[[str], None],
) -> Iterator[Row]:
    """The base's figures, then those of each run of a seed. What the folder holds already is not trained again."""
    from prefalign_audio.demo.preparation import Difficulty, prepare

    prepared = prepare(folder / f"seed{seed}", seed, Difficulty(), log)
    yield {"seed": seed, "method": "base", **judged(prepared, prepared.folder / "base")}
    for method, name, count in itertools.product(methods, sets, counts):
        row = study_run(prepared, folder / "runs", seed, method, name, count)
        if row is not None:
            log("{method}, {records} records, K = {replays}: temporal accuracy {temporal:.3f}".format(**row))
            yield row


def study_run(prepared: Any, runs: Path, seed: int, method: str, name: str, count: int | None) -> Row | None:
    """Train one model through the command and judge it; None if K is so large that no visit would repeat a draw."""
    from prefalign.training.arms import run_arm
    from prefalign_audio.demo.arms import config

    run = runs / f"{method}-{name}-{count or 'new'}-{seed}"
    settings = config(method, prepared.folder, run, runs, seed)
    model, data = settings["model"]["init_args"], settings["data"]["init_args"]
    batch_size = data["batch_size"]
    data["train"], records = records_of(Path(data["train"]), BATCHES[name], batch_size, seed)
    visits = settings["trainer"]["max_steps"] * batch_size / records
    if count is not None:
        if count >= visits:
            return None
        model["policy"]["init_args"]["replays"] = count
        if method == "dpo":
            model["reference"] = {"class_path": "core/cached", "init_args": {"folder": str(run / "reference")}}
    done = run_arm(settings, run)
    return {
        "seed": seed,
        "method": method,
        "set": name,
        "records": records,
        "visits": visits,
        "replays": count,
        "seconds": done["seconds"],
        **judged(prepared, run / "export"),
    }


def records_of(file: Path, batches: int | None, batch_size: int, seed: int) -> tuple[str, int]:
    """The file to train on, and its number of records: all of them, or so many batches of them drawn at random."""
    import torch

    from prefalign.data.sources import open_records
    from prefalign.data.store import write_parquet
    from prefalign_audio.demo.randomness import generator_for

    source = open_records(str(file))
    if batches is None:
        return str(file), len(source)
    wanted, part = batches * batch_size, file.with_name(f"{file.stem}-{batches}x{batch_size}.parquet")
    if wanted > len(source):
        raise ValueError(f"{file} has {len(source)} records, fewer than {batches} batches of {batch_size}")
    if not part.exists():
        order = torch.randperm(len(source), generator=generator_for(seed, f"few of {file.stem}"))[:wanted].tolist()
        write_parquet((source[index] for index in sorted(order)), part)
    return str(part), wanted


def judged(prepared: Any, model: Path) -> dict[str, float]:
    """The demonstration's figures of a model, by the judges of its world."""
    from prefalign_audio.demo.evaluation import evaluate
    from prefalign_audio.demo.preparation import open_policy
    from prefalign_audio.demo.runs import evaluation_latents

    return evaluate(prepared.world, evaluation_latents(prepared, open_policy(model), SAMPLES)).as_mapping()


def table(rows: Sequence[Row], counts: Sequence[int | None]) -> str:
    """Temporal accuracy as Markdown, mean ± sample standard deviation over the seeds; the last row is the base's.

    A dash stands where no run repeats a draw, so that it would be the run with new noise at every visit.
    """
    heads = [f"K = {count}" if count else "new at every visit" for count in counts]
    lines = ["| method | records | visits of each | " + " | ".join(heads) + " |", "|---" * (3 + len(heads)) + "|"]
    for method, title in METHODS.items():
        for name in BATCHES:
            found = [row for row in rows if row["method"] == method and row["set"] == name]
            if not found:
                continue
            cells = [spread([row["temporal"] for row in found if row["replays"] == count]) for count in counts]
            sizes = [between([row[key] for row in found]) for key in ("records", "visits")]
            lines.append(f"| {title} | {' | '.join([*sizes, *cells])} |")
    base = spread([row["temporal"] for row in rows if row["method"] == "base"])
    return "\n".join([*lines, f"| base | - | - | {base}" + " | - " * (len(counts) - 1) + " |"])


def losses(rows: Sequence[Row], counts: Sequence[int | None]) -> str:
    """What each K gains or costs against new noise at every visit, seed by seed, as Markdown."""
    kept = [count for count in counts if count is not None]
    lines = ["| method | records | " + " | ".join(f"K = {count}" for count in kept) + " |"]
    lines.append("|---" * (2 + len(kept)) + "|")
    for method, title in METHODS.items():
        for name in BATCHES:
            found = [row for row in rows if row["method"] == method and row["set"] == name]
            fresh = {row["seed"]: row["temporal"] for row in found if row["replays"] is None}
            cells = []
            for count in kept:
                gains = [
                    r["temporal"] - fresh[r["seed"]] for r in found if r["replays"] == count and r["seed"] in fresh
                ]
                each = f" ({', '.join(f'{gain:+.3f}' for gain in gains)})" if gains else ""
                cells.append(f"{spread(gains, sign='+')}{each}")
            if found:
                lines.append(f"| {title} | {between([row['records'] for row in found])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean ± sample standard deviation; the value alone if there is one, a dash if there is none."""
    if not values:
        return "-"
    mean = f"{statistics.fmean(values):{sign}.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"


def between(values: Sequence[float]) -> str:
    """The least and the greatest, as whole numbers where they are, or the one value."""
    shown = [f"{value:.0f}" if value >= 100 or value == round(value) else f"{value:.1f}" for value in sorted(values)]
    return shown[0] if shown[0] == shown[-1] else f"{shown[0]} to {shown[-1]}"


def machine() -> Mapping[str, Any]:
    """What the figures depend on besides the code."""
    import torch

    packages = ("prefalign", "prefalign_audio", "torch", "diffusers", "lightning")
    return {
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def main() -> None:
    """Run what is missing, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/replays"), help="folder for everything")
    parser.add_argument("--seeds", default="0,1,2", help="seeds, comma-separated (default 0,1,2)")
    parser.add_argument("--replays", default="1,4,16,new", help="numbers of draws, comma-separated; 'new' for none")
    parser.add_argument("--methods", default="dpo,baton_0", help="methods: dpo, baton_0 or both (default)")
    parser.add_argument("--sets", default="all,few", help="sets of records: all, few or both (default)")
    options = parser.parse_args()
    counts = [None if word == "new" else int(word) for word in options.replays.split(",")]
    methods, sets = options.methods.split(","), options.sets.split(",")
    started = time.perf_counter()
    rows: list[Row] = []
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in map(int, options.seeds.split(",")):

        def log(line: str, seed: int = seed) -> None:
            print(f"[{time.perf_counter() - started:5.0f} s] seed {seed}: {line}", file=sys.stderr, flush=True)

        for row in study_seed(options.out, seed, counts, methods, sets, log):
            rows.append(row)
            # After every run, so that an interrupted study leaves its figures.
            facts = {"machine": machine(), "rows": rows}
            (options.out / "replays.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(table(rows, counts))
    print()
    print(losses(rows, counts))


if __name__ == "__main__":
    main()
