"""Many Gromov–Wasserstein problems in one call: ours beside POT's batched solver, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/transport.py --json transport.json

Both run the proximal algorithm from the product coupling, with as many outer and inner iterations and no early stop, on
the same problems in torch. They scale columns and rows in the opposite order, so ours is given the transposed problem
and the summed costs must agree. Both take turns in one process; a repetition gives one ratio. Then curves of ours alone
over the number of points and of problems.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ot.batch
import torch
from torch import Tensor
from turns import Arm, in_fresh_process, machine, peak_of_steps, table, take_turns

from prefalign.functional.transport import gromov_wasserstein

EPSILON, OUTER, INNER = 0.01, 30, 30
SIZES = ((256, 8), (128, 20), (64, 50))
POINTS, PROBLEMS = (8, 16, 32, 64, 128, 256), (1, 4, 16, 64, 256)


def problems(count: int, points: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Distances (count, points, points) in clouds of 10 and of 7 dimensions, divided by each one's largest."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for dims in (10, 7):
        cloud = torch.randn(count, points, dims, generator=generator, dtype=dtype)
        distances = torch.cdist(cloud, cloud)
        distances = (distances + distances.transpose(1, 2)) / 2
        found.append(distances / distances.amax((1, 2), keepdim=True))
    return found[0], found[1]


def ours(count: int, points: int, dtype: torch.dtype) -> Arm:
    """A call of ours on the transposed problems."""
    source, target = problems(count, points, dtype)

    def step() -> float:
        plan = gromov_wasserstein(target, source, EPSILON, proximal=True, outer=OUTER, inner=INNER)
        return float(plan.cost.sum())

    return Arm(step)


def theirs(count: int, points: int, dtype: torch.dtype) -> Arm:
    """A call of POT's; tolerances below what can be reached, so that no iteration is left out."""
    source, target = problems(count, points, dtype)

    def step() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = ot.batch.solve_gromov_batch(
                source, target, reg=EPSILON, symmetric=True, max_iter=OUTER, max_iter_inner=INNER,
                tol=-1.0, tol_inner=-1.0, grad="detach",
            )  # fmt: skip
        return float(found.value.sum())

    return Arm(step)


def peak(side: str, count: int, points: int, name: str) -> int:
    """Peak bytes of a side alone, in a fresh process."""
    torch.set_num_threads(1)
    return peak_of_steps(lambda: {"ours": ours, "theirs": theirs}[side](count, points, getattr(torch, name)))


def compare(count: int, points: int, name: str, repetitions: int, memory: bool = True) -> dict[str, Any]:
    """Ratios of one size."""
    dtype = getattr(torch, name)
    arms = {"ours": ours(count, points, dtype), "POT": theirs(count, points, dtype)}
    # In float32 a start of 1e-15 that POT adds to its plans, and rounding, part the sums a little.
    result = take_turns(arms, repetitions, relative=1e-3 if name == "float32" else 1e-6, absolute=0)
    if memory:
        result["peak_bytes"] = {
            label: in_fresh_process(peak, side, count, points, name)
            for label, side in (("ours", "ours"), ("POT", "theirs"))
        }
    return {"problems": count, "points": points, "precision": name, **result}


def curve(repetitions: int) -> list[dict[str, Any]]:
    """Seconds of ours over points (at 16 problems) and over problems (at 32 points), the least of a few calls."""
    import time

    rows = []
    for count, points in [(16, n) for n in POINTS] + [(n, 32) for n in PROBLEMS]:
        arm, taken = ours(count, points, torch.float32), []
        for _ in range(repetitions):
            start = time.perf_counter()
            arm.step()
            taken.append(time.perf_counter() - start)
        rows.append({"problems": count, "points": points, "seconds": min(taken)})
    return rows


def main() -> None:
    """Measure, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = [
        compare(count, points, name, options.repetitions) for name in ("float32", "float64") for count, points in SIZES
    ]
    about = machine("torch", "POT", "prefalign")
    curves = curve(3)
    print(f"{about['cpu']}, {about['threads']} thread, load {about['load_average']:.1f}")
    print(table(results, ("problems", "points", "precision"), "POT"))
    print("\n| problems | points | seconds |\n|---|---|---|")
    print("\n".join("| {problems} | {points} | {seconds:.3f} |".format(**row) for row in curves))
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "results": results, "curves": curves}, indent=2))


if __name__ == "__main__":
    main()
