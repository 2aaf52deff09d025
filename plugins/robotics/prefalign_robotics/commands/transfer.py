"""`prefalign robotics transfer`: preferences of one task carried over to another, and how far to trust them."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefalign.data.store import write_records
from prefalign.interfaces import PrefalignError
from prefalign_robotics.segments.human import read_comparisons
from prefalign_robotics.segments.segments import Comparisons, Segments
from prefalign_robotics.transfer.couplings import Coupler, Exact, Gromov, Nearest, Sinkhorn
from prefalign_robotics.transfer.features import raw
from prefalign_robotics.transfer.records import transferred_records
from prefalign_robotics.transfer.report import assess, coupling_luck, in_task, linear_luck
from prefalign_robotics.transfer.transfer import transfer_linear, transfer_preferences

COUPLERS: dict[str, type[Coupler]] = {"gromov": Gromov, "sinkhorn": Sinkhorn, "exact": Exact, "nearest": Nearest}
METHODS = (*COUPLERS, "literal", "linear")


def main(argv: Sequence[str] | None = None) -> int:
    """Transfer, and print what is known of it; returns 2 on bad input."""
    options = _parser().parse_args(argv)
    try:
        source, target = read_comparisons(options.source), read_comparisons(options.target)
        names = METHODS if options.method == "all" else (options.method,)
        results = {name: _result(name, source, target, options) for name in names}
        if options.method == "all" and target[1].decided.any():
            results["in_task"] = assess(in_task(*target, raw), target[1].labels)
    except PrefalignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(
        json.dumps(results if options.method == "all" else results[options.method], indent=2)
        if options.json
        else "\n\n".join(_text(name, row) for name, row in results.items())
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign robotics transfer",
        description="Carry preferences over from one task to another, without labels of the other.",
    )
    parser.add_argument(
        "--source", required=True, metavar="A.npz", help="pairs of segments with labels, or shipped:can"
    )
    parser.add_argument("--target", required=True, metavar="B.npz", help="pairs of segments; labels only judge")
    parser.add_argument("--method", choices=(*METHODS, "all"), default="gromov", help="default %(default)s")
    parser.add_argument("--epsilon", type=float, help="smoothing; chosen without target labels if not given")
    parser.add_argument("--seed", type=int, default=0, help="of shuffles and random starts (default %(default)s)")
    parser.add_argument(
        "--draws", type=int, default=199, help="of meaningless labels, for the tests (default %(default)s)"
    )
    parser.add_argument("--out", type=Path, metavar="PAIRS.parquet", help="write the target's pairs with their labels")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _result(
    name: str, source: tuple[Segments, Comparisons], target: tuple[Segments, Comparisons], options: argparse.Namespace
) -> dict[str, Any]:
    judged = target[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are in the result
        if name == "linear":
            found = transfer_linear(*source, target[0], judged.pairs)
        else:
            coupler = COUPLERS.get(name, Gromov)()
            found = transfer_preferences(
                *source,
                target[0],
                judged.pairs,
                coupler=coupler,
                epsilon=options.epsilon,
                form="literal" if name == "literal" else "mean",
                seed=options.seed,
            )
    row: dict[str, Any] = {"epsilon": found.epsilon, **found.diagnostics, "warnings": list(found.warnings)}
    row["mean_confidence"] = float(found.confidence.mean())
    if judged.decided.any():
        row |= assess(found, judged.labels)
        if options.epsilon is None and options.draws and name != "literal":  # whose sums no shuffle can lift
            test = (row["accuracy"], *source, *target)
            row["chance"] = (
                linear_luck(*test, raw, options.draws)
                if name == "linear"
                else coupling_luck(*test, coupler, raw, options.draws)
            )
    if options.out is not None:
        write_records(transferred_records(target[0], found), options.out)
        row["written"] = str(options.out)
    return row


def _text(name: str, row: dict[str, Any]) -> str:
    lines = [name]
    if "accuracy" in row:
        lines.append(
            f"  accuracy {row['accuracy']:.3f} of {row['pairs']} pairs with a preference "
            f"(majority {row['majority']:.3f}, confident half {row['confident_half']:.3f})"
        )
        lines.append("  from the least to the most confident fifth: " + " ".join(f"{v:.2f}" for v in row["curve"]))
    for kind, chance in row.get("chance", {}).items():
        lines.append(f"  labels {kind}: p {chance['p']:.3f}, one in twenty reaches {chance['top']:.3f}")
    if row.get("epsilon") is not None:
        lines.append(
            f"  epsilon {row['epsilon']:g} (energies {_energies(row)}), flip risk {row.get('flip_risk', 'unknown')}"
        )
    lines += [f"  WARNING: {doubt}" for doubt in row.get("warnings", ())]
    return "\n".join(lines)


def _energies(row: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {value:.1f}" for name, value in row["energies"].items())
