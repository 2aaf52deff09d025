"""`prefalign audio pairs`: what a file of listeners' labels holds, and the preference pairs within its prompts."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from prefalign.interfaces import PrefalignError
from prefalign_audio.baton.labels import LabelSource
from prefalign_audio.baton.pairs import THRESHOLD, LabelCounts, count_labels, within_prompt_pairs, write_pairs


def _as_json(source: LabelSource, counts: LabelCounts) -> dict[str, Any]:
    return {
        "file": source.name,
        "prompts": counts.prompts,
        "clips": counts.clips,
        "positives": counts.positives,
        "mixed_prompts": counts.mixed,
        "pairs": counts.pairs,
        "tasks": dict(sorted(counts.tasks.items())),
        "rows_left_out": source.dropped,
    }


def _as_text(source: LabelSource, counts: LabelCounts) -> str:
    share = f"{100 * counts.positives / counts.clips:.1f} % of the clips"
    tasks = ", ".join(f"{task} {number}" for task, number in sorted(counts.tasks.items()))
    rows = (
        ("prompts", counts.prompts, tasks),
        ("clips", counts.clips, ""),
        ("positives", counts.positives, share),
        ("mixed prompts", counts.mixed, "with both labels"),
        ("pairs", counts.pairs, "(positive, negative) within a prompt"),
    )
    lines = [source.name, *(f"  {name:14}{number:>7}   {note}".rstrip() for name, number, note in rows)]
    if source.dropped:
        lines.append(f"  {source.dropped} rows were left out; the quarantine file says why")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign audio pairs",
        description="Count listeners' labels, and write the preference pairs within each prompt.",
    )
    parser.add_argument("labels", metavar="LABELS", help="BATON's labels: .jsonl, .jsonl.gz or .json")
    parser.add_argument("--out", type=Path, metavar="PAIRS.jsonl", help="write the pairs to this file")
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of a table")
    parser.add_argument(
        "--threshold",
        type=float,
        default=THRESHOLD,
        help="labels above this are positive where they are not 0 and 1 (default %(default)s)",
    )
    parser.add_argument("--media-folder", type=Path, help="folder of the clips, if not that of the labels")
    parser.add_argument(
        "--skip-bad", action="store_true", help="put rows that cannot be used into quarantine and go on"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns the exit code: 0, or 1 after labels that cannot be used."""
    args = _parser().parse_args(argv)
    try:
        if args.out is not None and args.out.suffix != ".jsonl":
            raise PrefalignError(f"{args.out.name}: expected a name ending in .jsonl")
        source = LabelSource(args.labels, args.media_folder, "skip" if args.skip_bad else "error")
        records = [source[index] for index in range(len(source))]
        counts = count_labels(records, args.threshold)
        if args.out is not None:
            write_pairs(within_prompt_pairs(records, args.threshold), args.out, source.media_folder)
    except (PrefalignError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(_as_json(source, counts), indent=2) if args.json else _as_text(source, counts))
    return 0
