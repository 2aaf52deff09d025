"""The tables of a comparison, paired differences between its arms, and whether it passes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from prefalign_mesh3d.demo.arms import ARMS

Results = Mapping[str, Sequence[Mapping[str, float]]]

TITLES = {"base": "supervised base", **{name: arm.title for name, arm in ARMS.items()}}

_COLUMNS = {"chamfer": "Chamfer ↓", "boundary": "boundary edges ↓", "closed": "closed", "length": "tokens"}

#: Comparisons that the table's reader would otherwise make by eye, arm against arm within a seed.
COMPARISONS = (
    ("dpo", "base"),
    ("coin", "base"),
    ("rft", "base"),
    ("dpo", "coin"),
    ("rft", "coin"),
    ("dpo", "rft"),
    ("dpo_2", "dpo"),
    ("rft_2", "rft"),
    ("dpo_2", "rft_2"),
    ("masked", "coin"),
    ("masked", "dpo"),
    ("masked_l1", "coin"),
    ("masked_l1", "dpo"),
    ("near_rft", "base"),
    ("near_dpo", "base"),
    ("near_dpo", "near_rft"),
    ("near_dpo", "dpo"),
    ("unanchored", "base"),
)


def table(results: Results, temperature: float) -> str:
    """Mean and sample standard deviation over the seeds, as Markdown."""
    lines = [f"| temperature {temperature:g} | " + " | ".join(_COLUMNS.values()) + " |", "|---" * 5 + "|"]
    for name, rows in results.items():
        cells = [spread([row[f"{key}@{temperature}"] for row in rows], 1 if key == "length" else 4) for key in _COLUMNS]
        lines.append(f"| {TITLES[name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def differences(results: Results, temperature: float) -> str:
    """Paired differences, seed by seed, as Markdown."""
    lines = [
        f"| temperature {temperature:g} | Chamfer × 1000 | boundary edges × 1000 | closed, points |",
        "|---" * 4 + "|",
    ]
    for first, second in COMPARISONS:
        if first not in results or second not in results:
            continue
        cells = []
        for key, factor in (("chamfer", 1000), ("boundary", 1000), ("closed", 100)):
            pairs = zip(results[first], results[second], strict=True)
            found = [factor * (a[f"{key}@{temperature}"] - b[f"{key}@{temperature}"]) for a, b in pairs]
            each = f" ({' / '.join(f'{value:+.0f}' for value in found)})" if len(found) > 1 else ""
            cells.append(spread(found, 1, signed=True) + each)
        lines.append(f"| {TITLES[first]} − {TITLES[second]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdicts(results: Results) -> dict[str, list[bool]]:
    """The rules that every seed should pass, each with one answer per seed; rules whose arms were not run are absent.

    All at temperature 1: DPO is below the base and below the control in Chamfer distance and in boundary edges; its
    meshes come to an end, and are as long as the base's within a tenth; the alarm is silent on it, and loud where there
    is no anchor.
    """
    found: dict[str, list[bool]] = {}

    def rule(name: str, arms: Sequence[str], test: Callable[..., bool]) -> None:
        if all(arm in results for arm in arms):
            found[name] = [bool(test(*rows)) for rows in zip(*(results[arm] for arm in arms), strict=True)]

    def lower(key: str) -> Callable[[Mapping[str, float], Mapping[str, float]], bool]:
        return lambda mine, other: mine[f"{key}@1.0"] < other[f"{key}@1.0"]

    for key, title in (("chamfer", "Chamfer distance"), ("boundary", "share of boundary edges")):
        rule(f"DPO's {title} is below the base's", ("dpo", "base"), lower(key))
        rule(f"DPO's {title} is below the control's", ("dpo", "coin"), lower(key))
    rule("95 % of DPO's meshes come to an end", ("dpo",), lambda a: a["ended@1.0"] >= 0.95)
    rule("DPO's meshes are as long as the base's, within a tenth", ("dpo", "base"), _as_long)
    rule("the alarm is silent on DPO with its anchor", ("dpo",), lambda a: not a["alarm"])
    rule("the alarm is loud on DPO without one", ("unanchored",), lambda a: bool(a["alarm"]))
    return found


def _as_long(mine: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return abs(mine["length@1.0"] / other["length@1.0"] - 1) <= 0.1


def spread(values: Sequence[float], digits: int, signed: bool = False) -> str:
    """Mean ± sample standard deviation; the value alone if there is one."""
    mean = f"{statistics.fmean(values):{'+' if signed else ''}.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"
