"""The numbers of a Pareto report and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefalign.evaluation.pareto import hypervolume, mean_and_deviation, non_dominated, paired_difference
from prefalign_audio.commands.pareto_points import KINDS, Point, Points

_ARROWS = {"min": "↓", "max": "↑"}


def report_of(points: Points) -> dict[str, Any]:
    """Everything that the report says, as plain values for JSON.

    Volumes are shares of the box from the worst to the best value that any model had in any seed, so that all kinds and
    seeds are measured by one yardstick. The real data takes no part in fronts and volumes.
    """
    ways = list(points.axes.values())
    models = points.models
    values = np.stack([point.values for point in models])  # (M, S, A)
    means = values.mean(axis=1)
    base = points.base_point
    on_front = non_dominated(means, ways)
    fronts = np.stack([non_dominated(values[:, seed], ways) for seed in range(values.shape[1])], axis=1)  # (M, S)
    rows = []
    for point in points.points:
        row = _summary(point, points, base)
        if point.kind != "real":
            place = models.index(point)
            row["on_front_of_means"] = bool(on_front[place])
            row["on_front_in"] = int(fronts[place].sum())
        rows.append(row)
    maximised = np.array([way == "max" for way in ways])
    low, high = values.min(axis=(0, 1)), values.max(axis=(0, 1))
    worst, best = np.where(maximised, low, high), np.where(maximised, high, low)
    return {
        "axes": points.axes,
        "base": points.base,
        "seeds": list(points.seeds),
        "points": rows,
        "box": {
            "worst": dict(zip(points.axes, worst.tolist(), strict=True)),
            "best": dict(zip(points.axes, best.tolist(), strict=True)),
        },
        "hypervolume": {
            kind: _volumes([point for point in models if kind in (point.kind, "all")], worst, best, ways)
            for kind in (*KINDS, "all")
            if any(kind in (point.kind, "all") for point in models)
        },
    }


def _summary(point: Point, points: Points, base: Point) -> dict[str, Any]:
    """A point's means and deviations; for a model also what it gains over the base."""
    mean, deviation = mean_and_deviation(point.values)
    row: dict[str, Any] = {"name": point.name, "title": point.title, "kind": point.kind, "weights": point.weights}
    row["axes"] = {
        axis: {"mean": float(mean[column]), "sd": None if np.isnan(deviation[column]) else float(deviation[column])}
        for column, axis in enumerate(points.axes)
    }
    if point.kind in ("base", "real"):
        return row
    signs = np.array([1.0 if way == "max" else -1.0 for way in points.axes.values()])
    better = (point.values - base.values) * signs > 0  # (S, A)
    row["better_on_all_in"] = int(better.all(axis=1).sum())
    for column, cell in enumerate(row["axes"].values()):
        interval = paired_difference(point.values[:, column].tolist(), base.values[:, column].tolist())
        cell["better_in"] = int(better[:, column].sum())
        cell["difference"] = {"estimate": interval.estimate, "low": interval.low, "high": interval.high}
    return row


def _volumes(
    group: Sequence[Point], worst: NDArray[np.float64], best: NDArray[np.float64], ways: Sequence[str]
) -> dict[str, Any]:
    """The group's volume in each seed, as a share of the box; 0 where an axis did not vary."""
    whole = float(np.abs(best - worst).prod())
    found = [
        hypervolume([point.values[seed] for point in group], worst, ways) / whole if whole else 0.0
        for seed in range(len(group[0].values))
    ]
    mean, deviation = mean_and_deviation(found)
    return {"seeds": found, "mean": float(mean), "sd": None if np.isnan(deviation) else float(deviation)}


def markdown(report: dict[str, Any]) -> str:
    """The report's tables."""
    axes, seeds = report["axes"], report["seeds"]
    header = ["#", "model", *(f"{axis} {_ARROWS[way]}" for axis, way in axes.items())]
    header += [*(f"better: {axis}" for axis in axes), "better: all", "front of means", "front in seeds"]
    rows = [
        [
            str(number),
            _cell(row["title"]),
            *(_spread(row["axes"][axis]) for axis in axes),
            *_counts(row, axes, len(seeds)),
        ]
        for number, row in enumerate(report["points"], 1)
    ]
    compared = [row for row in report["points"] if "better_on_all_in" in row]
    differences = [
        [_cell(row["title"]), *(_interval(row["axes"][axis]["difference"]) for axis in axes)] for row in compared
    ]
    volumes = [
        [
            "all models" if kind == "all" else KINDS[kind],
            _spread(volume),
            *(f"{share:.3f}" for share in volume["seeds"]),
        ]
        for kind, volume in report["hypervolume"].items()
    ]
    plural = "s" if len(seeds) > 1 else ""
    box = "; ".join(f"{axis} {report['box']['worst'][axis]:.3g} to {report['box']['best'][axis]:.3g}" for axis in axes)
    parts = [
        f"Mean ± sample standard deviation over {len(seeds)} seed{plural}; in how many of them better than the base; "
        "whether on the Pareto front of the means, and in how many seeds on the front of that seed.",
        _table(header, rows),
    ]
    if differences:
        parts += [
            "Differences to the base, paired by seed, with 95 % bootstrap intervals over seeds (few seeds: coarse).",
            _table(["model", *axes], differences),
        ]
    parts += [
        f"Hypervolume as a share of the box from the worst to the best value of any model in any seed ({box}).",
        _table(["models", "mean", *(f"seed {seed}" for seed in seeds)], volumes),
    ]
    return "\n\n".join(parts) + "\n"


def _counts(row: dict[str, Any], axes: dict[str, str], seeds: int) -> list[str]:
    if row["kind"] == "real":
        return ["-"] * (len(axes) + 3)
    front = ["yes" if row["on_front_of_means"] else "no", f"{row['on_front_in']} of {seeds}"]
    if row["kind"] == "base":
        return [*["-"] * (len(axes) + 1), *front]
    counts = [row["axes"][axis]["better_in"] for axis in axes] + [row["better_on_all_in"]]
    return [*(f"{count} of {seeds}" for count in counts), *front]


def _spread(cell: dict[str, Any]) -> str:
    return f"{cell['mean']:.3f}" if cell["sd"] is None else f"{cell['mean']:.3f} ± {cell['sd']:.3f}"


def _interval(cell: dict[str, float]) -> str:
    return f"{cell['estimate']:+.3f} [{cell['low']:+.3f}, {cell['high']:+.3f}]"


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
