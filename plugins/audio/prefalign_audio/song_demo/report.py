"""The points of a comparison for the Pareto report, paired differences to the base, and whether it passes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from prefalign_audio.song_demo.arms import ARMS, CRITERIA
from prefalign_audio.song_demo.judging import AXES
from prefalign_audio.song_demo.merges import FIXED

#: Figures of every seed, by the name of the point.
Results = Mapping[str, Mapping[int, Mapping[str, float]]]

_MERGES = {
    "thirds": "merge, a third of each",
    "lyric_half": "merge, half lyric",
    "prompt_half": "merge, half prompt",
    "musicality_half": "merge, half musicality",
    "sum_06": "what the runs changed, 0.6 of each",
    "sum_1": "what the runs changed, added up",
    "searched": "merge, searched for all",
    "searched_lyric": "merge, searched for the lyric",
    "searched_best_of_8": "merge, searched for all, best of 8",
}

_COLUMNS = {
    "lyric_error": 3,
    "prompt": 3,
    "musicality": 2,
    "reward": 2,
    "length": 1,
    "ended": 2,
    "repetition": 3,
}


def points(results: Results) -> dict[str, Any]:
    """What `prefalign audio pareto` reads: the models alone, since the best of eight songs costs eight.

    Either is better than every model that is asked for one song, and would hide which of these is better than another.
    """
    shown = [_point(name, rows) for name, rows in results.items() if "best_of" not in name]
    return {"axes": dict(AXES), "base": "base", "points": shown}


def _point(name: str, rows: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
    # The weights of a search differ from seed to seed: told where all agree.
    shares = [{c: row[f"weight_{c}"] for c in CRITERIA} for row in rows.values() if f"weight_{CRITERIA[0]}" in row]
    weights = shares[0] if shares and all(share == shares[0] for share in shares) else None
    seeds = {str(seed): dict(row) for seed, row in rows.items()}
    return {"name": name, "title": title(name), "kind": _kind(name), "weights": weights, "seeds": seeds}


def title(name: str) -> str:
    """What a point is called."""
    if name in ARMS:
        return ARMS[name].title
    return {"base": "supervised base", "real": "real phrases", "best_of_8": "base, best of 8", **_MERGES}[name]


def _kind(name: str) -> str:
    if name in ARMS:
        return ARMS[name].kind
    return name if name in ("base", "real") else "merge"


def table(results: Results) -> str:
    """Mean and sample standard deviation over the seeds, as Markdown."""
    head = ["lyric error ↓", "prompt ↑", "musicality ↑", "its reward", "steps", "ended", "repetition"]
    lines = ["| | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for name, rows in results.items():
        cells = [spread([row[key] for row in rows.values()], digits) for key, digits in _COLUMNS.items()]
        lines.append(f"| {title(name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def differences(results: Results) -> str:
    """Paired differences to the base, seed by seed, with the number of seeds in which they are for the better."""
    lines = ["| minus the base | " + " | ".join(AXES) + " |", "|---" * (len(AXES) + 1) + "|"]
    for name, rows in results.items():
        if name in ("base", "real"):
            continue
        cells = []
        for axis, way in AXES.items():
            found = [row[axis] - results["base"][seed][axis] for seed, row in rows.items()]
            better = sum(value < 0 if way == "min" else value > 0 for value in found)
            cells.append(f"{spread(found, _COLUMNS[axis], signed=True)} ({better} of {len(found)})")
        lines.append(f"| {title(name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdicts(results: Results) -> dict[str, list[bool]]:
    """The rules that every seed should pass, each with one answer per seed; rules without their points are absent.

    Each criterion's own run is better than the base on its axis; some interpolation that was not chosen on these songs
    is better on all three; and so is the one whose weights were searched on other prompts.
    """
    found: dict[str, list[bool]] = {}

    def rule(name: str, needed: Sequence[str], test: Callable[[int], bool]) -> None:
        if all(point in results for point in needed):
            found[name] = [test(seed) for seed in results["base"]]

    def better(name: str, axis: str, seed: int) -> bool:
        mine, base = results[name][seed][axis], results["base"][seed][axis]
        return mine < base if AXES[axis] == "min" else mine > base

    def everywhere(name: str, seed: int) -> bool:
        return all(better(name, axis, seed) for axis in AXES)

    for criterion, axis in zip(CRITERIA, AXES, strict=True):
        rule(f"{title(criterion)}: better than the base there", (criterion,), partial(better, criterion, axis))
    convex = [name for name, weights in FIXED.items() if abs(sum(weights) - 1) < 1e-9]
    rule("a fixed interpolation is better on all three", convex, lambda s: any(everywhere(name, s) for name in convex))
    rule("the searched interpolation is better on all three", ("searched",), lambda s: everywhere("searched", s))
    return found


def spread(values: Sequence[float], digits: int, signed: bool = False) -> str:
    """Mean ± sample standard deviation; the value alone if there is one."""
    mean = f"{statistics.fmean(values):{'+' if signed else ''}.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"
