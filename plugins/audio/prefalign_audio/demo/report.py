"""The table of a comparison, paired differences between its arms, and whether it passes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from prefalign_audio.demo.arms import ARMS

Results = Mapping[str, Sequence[Mapping[str, float]]]

TITLES = {"base": "base", "best_of_5": "best of 5 of the base, by the reward", **{k: a.title for k, a in ARMS.items()}}

_COLUMNS = {
    "integrity": "integrity",
    "temporal": "temporal",
    "temporal_held_out": "temporal, held-out captions",
    "second_temporal": "temporal, second judge",
    "mel_frechet": "mel-Fréchet ↓",
    "variance": "variance",
    "chosen_drift": "drift, chosen",
    "rejected_drift": "drift, rejected",
}

#: Comparisons that the table's reader would otherwise make by eye, arm against arm within a seed.
COMPARISONS = (
    ("control", "base"),
    ("baton_0", "control"),
    ("baton_025", "control"),
    ("baton_1", "control"),
    ("winners", "control"),
    ("dpo", "winners"),
    ("crpo", "winners"),
    ("crpo", "dpo"),
    ("crpo", "baton_0"),
    ("coin", "base"),
    ("crpo_offline", "crpo"),
    ("crpo_online", "crpo_offline"),
)


def table(results: Results) -> str:
    """Mean and sample standard deviation over the seeds, as Markdown."""
    lines = ["| model | " + " | ".join(_COLUMNS.values()) + " |", "|---" * (len(_COLUMNS) + 1) + "|"]
    for name, rows in results.items():
        cells = [spread([row[key] for row in rows if key in row]) for key in _COLUMNS]
        lines.append(f"| {TITLES[name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def differences(results: Results) -> str:
    """Paired differences, seed by seed, as Markdown."""
    lines = ["| comparison | temporal | mel-Fréchet |", "|---|---|---|"]
    for first, second in COMPARISONS:
        if first not in results or second not in results:
            continue
        cells = []
        for key in ("temporal", "mel_frechet"):
            found = [one[key] - two[key] for one, two in zip(results[first], results[second], strict=True)]
            positive = sum(value > 0 for value in found)
            cells.append(f"{spread(found, signed=True)} ({positive} of {len(found)} positive)")
        lines.append(f"| {TITLES[first]} − {TITLES[second]} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def verdicts(results: Results) -> dict[str, list[bool]]:
    """The rules that every seed should pass, each with one answer per seed; rules whose arms were not run are absent.

    BATON without regulariser gains at least 0.08 of temporal accuracy over the control. CRPO is at least as good as
    fine-tuning on the winners, and its winners' error grows by less than 0.1. The drift alarm is silent on CRPO and
    loud on DPO.
    """
    found: dict[str, list[bool]] = {}

    def rule(name: str, arms: Sequence[str], test: Callable[..., bool]) -> None:
        if all(arm in results for arm in arms):
            found[name] = [bool(test(*rows)) for rows in zip(*(results[arm] for arm in arms), strict=True)]

    rule("BATON β = 0 gains 0.08 over the control", ("baton_0", "control"), _gains)
    rule("CRPO at least equals winners only", ("crpo", "winners"), lambda a, b: a["temporal"] >= b["temporal"])
    rule("CRPO's winner drift is below 0.1", ("crpo",), lambda a: a["chosen_drift"] < 0.1)
    rule("the drift alarm is silent on CRPO", ("crpo",), lambda a: not a["alarm"])
    rule("the drift alarm is loud on DPO", ("dpo",), lambda a: a["alarm"])
    return found


def _gains(treated: Mapping[str, float], control: Mapping[str, float]) -> bool:
    return treated["temporal"] - control["temporal"] >= 0.08


def spread(values: Sequence[float], signed: bool = False) -> str:
    """Mean ± sample standard deviation; the value alone if there is one, a dash if there is none."""
    if not values:
        return "-"
    sign = "+" if signed else ""
    mean = f"{statistics.fmean(values):{sign}.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"
