"""Results of many pairs and seeds as tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from prefalign_robotics.demo.behaviour import ARMS
from prefalign_robotics.demo.learning import OBJECTIVES
from prefalign_robotics.demo.ranking import CRITERIA

Results = Sequence[Mapping[str, Any]]

#: A correlation whose p is above this in a seed is not told from chance there.
SIGNIFICANCE = 0.05


def report(results: Results) -> str:
    """All tables that the results fill, as Markdown."""
    parts = [
        "Labels and the reward learned from them, beside a rule that sees no label",
        transfer_table(results),
        "Success of policies on goal instances that no episode had: mean, then seed by seed",
        policy_table(results, "success"),
        "Mean return of the same policies",
        policy_table(results, "mean_return"),
        "Spearman's correlation among successful episodes only; in brackets, seeds not told from chance (p > 0.05)",
        inside_table(results),
    ]
    if any(one["noise"] for one in results):
        parts += ["Pairs in the right order on fresh windows, by share of wrong labels", noise_table(results)]
    return "\n\n".join(parts)


def transfer_table(results: Results) -> str:
    """Accuracy of transferred labels, and Spearman's correlation of scores of episodes with the true return."""
    columns = {
        "labels": lambda one: one["transfer"]["accuracy"],
        "confident half": lambda one: one["transfer"]["confident_half"],
        "the rule": lambda one: one["transfer"]["rule_accuracy"],
        "Spearman, learned reward": lambda one: _spearman(one["ranking"]["all"]["learned"]),
        "Spearman, the rule": lambda one: _spearman(one["ranking"]["all"]["rule"]),
    }
    rows = [
        [_pair(group[0]), *(spread([get(one) for one in group]) for get in columns.values())]
        for group in by_pair(results)
    ]
    return _table(["source → target", *columns], rows)


def policy_table(results: Results, measure: str) -> str:
    """Mean over seeds and the seeds in brackets, a row per arm and a column per pair."""
    groups = by_pair(results)
    digits = 2 if measure == "success" else 0
    rows = []
    for name, arm in ARMS.items():
        found = [
            [one["policies"][name][measure]["estimate"] for one in group if name in one["policies"]] for group in groups
        ]
        if any(found):
            rows.append([arm.title, *(_each(values, digits) for values in found)])
    return _table(["policy", *(_pair(group[0]) for group in groups)], rows)


def inside_table(results: Results) -> str:
    """Learned reward, rule and true return, by what is better about an episode that succeeds."""
    rows = []
    for group in by_pair(results):
        known = [one["ranking"]["inside"] for one in group if one["ranking"]["inside"] is not None]
        for criterion in CRITERIA:
            cells = []
            for score in ("learned", "rule", "return"):
                if criterion == score:
                    cells.append("")
                    continue
                found = [one[criterion][score] for one in known if one[criterion][score] is not None]
                lucky = sum(one["p"] > SIGNIFICANCE for one in found)
                cells.append(
                    spread([one["spearman"] for one in found]) + (f" ({lucky} of {len(found)})" if lucky else "")
                )
            rows.append([_pair(group[0]), criterion, *cells])
    return _table(["source → target", "better is", "learned reward", "the rule", "true return"], rows)


def noise_table(results: Results) -> str:
    """Fresh pairs in the right order, by objective and share of wrong labels, over all pairs and seeds."""
    shares = sorted({share for one in results for share in one["noise"]}, key=float)
    rows = []
    for group in by_pair(results):
        for share in shares:
            found = [one["noise"][share] for one in group if share in one["noise"]]
            gains = [one["robust"] - one["bradley_terry"] for one in found]
            cells = [spread([one[name] for one in found]) for name in OBJECTIVES]
            rows.append([group[0]["target"], f"{float(share):.0%}", *cells, spread(gains, signed=True)])
    return _table(["task", "wrong", "robust", "Bradley–Terry", "robust − Bradley–Terry"], rows)


def by_pair(results: Results) -> list[list[Mapping[str, Any]]]:
    """The results in groups of one pair of tasks each, in the order in which pairs come first."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in results:
        groups.setdefault((one["source"], one["target"]), []).append(one)
    return list(groups.values())


def spread(values: Sequence[float], signed: bool = False) -> str:
    """Mean ± sample standard deviation; the value alone if there is one, a dash if there is none."""
    if not values:
        return "-"
    mean = f"{statistics.fmean(values):{'+' if signed else ''}.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"


def _each(values: Sequence[float], digits: int) -> str:
    if not values:
        return "-"
    each = " ".join(f"{value:.{digits}f}" for value in values)
    return f"{statistics.fmean(values):.{digits + 1 if digits else 0}f} [{each}]"


def _spearman(found: Mapping[str, float] | None) -> float:
    return found["spearman"] if found is not None else 0.0


def _pair(one: Mapping[str, Any]) -> str:
    return f"{one['source']} → {one['target']}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
