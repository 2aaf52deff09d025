"""Running the comparison: every arm of a seed trained through the command, sampled, judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefalign.data.build import derive_seed
from prefalign.data.store import write_parquet
from prefalign.interfaces import PrefalignError, unknown_name
from prefalign_mesh3d.demo.arms import ARMS, arm_folder, train
from prefalign_mesh3d.demo.judging import means
from prefalign_mesh3d.demo.preparation import (
    Plan,
    Prepared,
    describe,
    open_policy,
    pairs_of,
    prepare,
    sample_and_judge,
)

#: Temperatures of the evaluation, each with so many samples of every held-out cloud: at 1 the model's own distribution,
#: at 0.7 nearer to how meshes are drawn in use.
TEMPERATURES = {1.0: 6, 0.7: 2}

Figures = dict[str, float]


def check_arms(names: Sequence[str]) -> None:
    """Refuse arms that are not there, or whose start does not stand before them.

    Raises:
        PrefalignError: with near names.
    """
    for place, name in enumerate(names):
        if name not in ARMS:
            raise unknown_name("arm", name, ARMS)
        start = ARMS[name].start
        if start is not None and start not in names[:place]:
            raise PrefalignError(f"the arm {name} starts from {start}, which has to stand before it in --arms")


def run_seed(
    folder: Path, seed: int, names: Sequence[str], plan: Plan, log: Callable[[str], None]
) -> tuple[Prepared, dict[str, Figures]]:
    """Figures of the base and of every arm.

    Args:
        folder: of the seed.
        seed: of everything.
        names: of the arms; see `check_arms`.
        plan: how much of everything.
        log: told what is done.
    """
    prepared = prepare(folder, seed, plan, log)
    results: dict[str, Figures] = {"base": _figures(prepared, folder / "base" / "export", seed)}
    log("base: " + shown(results["base"]))
    for name in names:
        if ARMS[name].records == "fresh.parquet":
            _fresh_pairs(prepared, name, seed, plan, log)
        done = train(name, folder, folder / "arms", seed)
        results[name] = {**_figures(prepared, arm_folder(folder / "arms", name) / "export", seed), **done}
        log(f"{name}: " + shown(results[name]) + f", {done['seconds']:.0f} s")
    return prepared, results


def shown(figures: Figures) -> str:
    """The figures at temperature 1, in a line."""
    named = {"chamfer": "Chamfer", "boundary": "boundary edges", "closed": "closed", "length": "tokens"}
    return ", ".join(f"{title} {figures[f'{key}@1.0']:.4g}" for key, title in named.items())


def _figures(prepared: Prepared, export: Path, seed: int) -> Figures:
    """Means over samples of the held-out clouds, at every temperature; kept beside the model."""
    file = export / "judged.json"
    if file.is_file():
        return dict(json.loads(file.read_text("utf-8")))
    policy = open_policy(export)
    found: Figures = {}
    for temperature, n in TEMPERATURES.items():
        judged = sample_and_judge(policy, prepared.shapes.held_out, n, temperature, derive_seed(seed, "evaluation"))
        for name, value in means([one for group in judged for one in group.judgements]).items():
            found[f"{name}@{temperature}"] = value
    file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def _fresh_pairs(prepared: Prepared, name: str, seed: int, plan: Plan, log: Callable[[str], None]) -> None:
    """Pairs of the meshes of the arm's start; written once."""
    arms, start = prepared.folder / "arms", ARMS[name].start
    run = arm_folder(arms, name)
    assert start is not None
    if (run / "fresh.parquet").exists():
        return
    policy = open_policy(arm_folder(arms, start) / "export")
    drawn = derive_seed(seed, "second round")
    judged = sample_and_judge(policy, prepared.shapes.rounds[1], plan.candidates, plan.temperature, drawn)
    pairs = pairs_of(judged, plan.per_cloud, seed)
    run.mkdir(parents=True, exist_ok=True)
    write_parquet(pairs, run / "fresh.parquet")
    facts: dict[str, Any] = {"plan": asdict(plan), **describe(pairs, judged)}
    (run / "fresh.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    log(f"{name}: {len(pairs)} pairs of the meshes of {start}")
