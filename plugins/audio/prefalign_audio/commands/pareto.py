"""`prefalign audio pareto`: what ways of aligning one model do to all axes at once, as tables and a picture."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefalign.data.atomic import atomic_path
from prefalign.interfaces import PrefalignError
from prefalign_audio.commands.pareto_picture import picture
from prefalign_audio.commands.pareto_points import Points, parse_points, read_points
from prefalign_audio.commands.pareto_report import markdown, report_of


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit code: 0, or 2 for points that make no report."""
    options = _parser().parse_args(argv)
    try:
        points = read_points(options.run)
        out = options.out or (options.run if options.run.is_dir() else options.run.parent)
        report = write_report(points, out)
    except PrefalignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        print(f"{markdown(report)}\nPicture: {out / 'pareto.png'}")
    return 0


def write_report(points: Points | Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Write `pareto.md`, `pareto.json` and `pareto.png`, each whole or not at all.

    Args:
        points: read ones, or a document as `parse_points` takes it.
        out: folder, made if it is not there.

    Returns:
        What `pareto.json` holds.

    Raises:
        PrefalignError: for a document that is not as expected, or a place that is no folder.
    """
    if not isinstance(points, Points):
        points = parse_points(points)
    if out.exists() and not out.is_dir():
        raise PrefalignError(f"{out} is a file; expected a folder for pareto.md, pareto.json and pareto.png")
    out.mkdir(parents=True, exist_ok=True)
    report = report_of(points)
    contents = {
        "pareto.json": (json.dumps(report, ensure_ascii=False, indent=2) + "\n").encode(),
        "pareto.md": markdown(report).encode(),
        "pareto.png": picture(points),
    }
    for name, content in contents.items():
        with atomic_path(out / name) as partial:
            partial.write_bytes(content)
    return report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign audio pareto",
        description="Compare models on all axes at once: means and spreads, Pareto fronts, hypervolumes, a picture.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a folder with points.json, or such a file")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="for pareto.md, .json and .png (default: in RUN)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON instead of tables")
    return parser
