"""Two sides of a benchmark in one process, taking turns; and the memory that each needs alone.

Whatever else the machine does hits both sides of a turn alike, so a repetition gives one ratio that can be trusted
where seconds cannot. CPU time is taken beside wall time, for machines that are not idle.
"""

from __future__ import annotations

import concurrent.futures
import math
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

WARM_UP = 3
MEMORY_STEPS = 4


@dataclass
class Arm:
    """One side, ready to take steps.

    Attributes:
        step: takes one and returns the loss before it.
        prepared: seconds that it needed once, before any step, for what its steps then save.
    """

    step: Callable[[], float]
    prepared: float = 0.0


def take_turns(arms: Mapping[str, Arm], repetitions: int, relative: float, absolute: float) -> dict[str, Any]:
    """Wall and CPU seconds of every step of both sides, taken in turns that swap their order each time.

    Args:
        arms: ours, then the peer's.
        repetitions: timed steps of each side, after `WARM_UP` that are not kept.
        relative, absolute: how far the losses of a step may lie apart, by the larger of both bounds.

    Raises:
        RuntimeError: if the losses of the two sides part.
    """
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
    for repetition in range(WARM_UP + repetitions):
        for name in arms if repetition % 2 else reversed(arms):
            wall, cpu = time.perf_counter(), time.process_time()
            loss = arms[name].step()
            taken[name].append({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "loss": loss})
        ours, theirs = (steps[-1]["loss"] for steps in taken.values())
        if not math.isclose(ours, theirs, rel_tol=relative, abs_tol=absolute):
            raise RuntimeError(f"step {repetition}: the losses part, {ours} and {theirs}")
    kept = {name: steps[WARM_UP:] for name, steps in taken.items()}
    mine, others = taken.values()
    return {
        "steps": kept,
        "seconds": {name: statistics.median(step["wall"] for step in steps) for name, steps in kept.items()},
        "first_and_last_loss": [mine[0]["loss"], mine[-1]["loss"]],
        "losses_apart": max(abs(one["loss"] - other["loss"]) for one, other in zip(mine, others, strict=True)),
        **{f"{clock}_ratio": spread(*kept.values(), clock) for clock in ("wall", "cpu")},
    }


def spread(ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], clock: str) -> dict[str, float]:
    """Least, median and greatest ratio of ours to theirs over the repetitions."""
    ratios = [one[clock] / other[clock] for one, other in zip(ours, theirs, strict=True)]
    return {"min": min(ratios), "median": statistics.median(ratios), "max": max(ratios)}


def in_fresh_process(function: Callable[..., int], *arguments: Any) -> int:
    """What the function returns in a process that has done nothing else."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *arguments).result()


def peak_of_steps(build: Callable[[], Arm]) -> int:
    """Peak bytes of this process during the steps, above its size now (Linux only). Import what is needed before."""
    before = status("VmRSS")
    arm = build()
    Path("/proc/self/clear_refs").write_text("5")  # start the peak anew
    for _ in range(MEMORY_STEPS):
        arm.step()
    return status("VmHWM") - before


def status(field: str) -> int:
    """A size of this process in bytes, as the kernel counts it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def machine(*packages: str) -> dict[str, Any]:
    """What the figures depend on besides the code."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def table(results: Sequence[Mapping[str, Any]], columns: Sequence[str], peer: str) -> str:
    """The results as Markdown. Ratios are ours over the peer's: below 1 we are faster or smaller.

    Args:
        results: of `take_turns`, each with the bytes of both sides as `peak_bytes`.
        columns: names of what tells one result from another, which come first.
        peer: what to call the other side.
    """
    heads = (
        f"ours | {peer} | wall ratio, median (min to max) | CPU ratio, median (min to max) "
        f"| ours, peak | {peer}, peak | peak ratio"
    )
    lines = [f"| {' | '.join(columns)} | {heads} |", "|---" * (len(columns) + 7) + "|"]
    for result in results:
        spreads = [
            "{median:.2f} ({min:.2f} to {max:.2f})".format(**result[f"{clock}_ratio"]) for clock in ("wall", "cpu")
        ]
        seconds = [f"{1000 * value:.0f} ms" for value in result["seconds"].values()]
        peaks = list(result["peak_bytes"].values())
        sizes = [f"{peak / 2**20:.0f} MiB" for peak in peaks]
        cells = [*(str(result[name]) for name in columns), *seconds, *spreads, *sizes, f"{peaks[0] / peaks[1]:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
