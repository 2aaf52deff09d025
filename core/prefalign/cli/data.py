"""`prefalign data`: look at preference records, check them, convert them, describe a set."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefalign.cli.errors import CommandError
from prefalign.cli.table import render_table

if TYPE_CHECKING:
    from prefalign.interfaces.source import RecordSource


def main(argv: Sequence[str]) -> int:
    """Run `prefalign data` and return its exit code: 0, or 1 where `validate` found rows that cannot be used."""
    options = _parser().parse_args(argv)
    run = {"show": _show, "validate": _validate, "convert": _convert, "stats": _stats, "formats": _formats}
    return run[options.command](options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign data", description="Look at, check and convert preference records."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    reading = argparse.ArgumentParser(add_help=False)
    reading.add_argument("file", metavar="FILE", help="a file, a folder of Parquet shards, or a plugin's address")
    reading.add_argument("--format", metavar="NAME", help="layout of the rows; found by their columns if not given")
    reading.add_argument("--split", metavar="NAME", help="part of a folder that holds several")
    reading.add_argument(
        "--media-folder",
        type=Path,
        metavar="FOLDER",
        help="where media paths start; the data's own folder if not given",
    )
    reading.add_argument(
        "--on-bad-record",
        choices=("error", "skip"),
        default="error",
        help="stop at the first bad row, or leave bad rows out and write them to FILE.quarantine.jsonl",
    )
    reading.add_argument("--json", action="store_true", help="print JSON")

    show = commands.add_parser("show", parents=[reading], help="print a few records")
    show.add_argument("--start", type=int, default=0, metavar="N", help="first record to print, counted from 0")
    show.add_argument("--count", type=int, default=3, metavar="N", help="how many")
    show.add_argument("--id", metavar="ID", help="the record of this id instead")
    commands.add_parser("validate", parents=[reading], help="read every row and open every picture")
    convert = commands.add_parser("convert", parents=[reading], help="write the records in another container or layout")
    convert.add_argument("output", type=Path, metavar="OUTPUT", help="a name ending in .jsonl, .json, .parquet or .npz")
    convert.add_argument(
        "--to", metavar="NAME", help="layout to write; canonical, which holds everything, if not given"
    )
    convert.add_argument(
        "--media",
        choices=("refer", "copy", "embed"),
        default="refer",
        help="refer to media where they are, copy them beside OUTPUT, or embed their bytes",
    )
    convert.add_argument(
        "--chat", action="store_true", help="make a turn of every text, for layouts that know turns only"
    )
    convert.add_argument("--overwrite", action="store_true", help="replace OUTPUT if it exists")
    commands.add_parser("stats", parents=[reading], help="count relations, lengths, ties, media and duplicates")
    commands.add_parser("formats", help="list the layouts that are read and written")
    return parser


def _open(options: argparse.Namespace) -> RecordSource:
    from prefalign.data.sources import open_records

    return open_records(
        options.file,
        options.format,
        options.on_bad_record,
        split=options.split,
        media_folder=options.media_folder,
    )


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


# ---------------------------------------------------------------------------------------------------------------- show


def _show(options: argparse.Namespace) -> int:
    from prefalign.data.canonical import record_to_dict
    from prefalign.data.rendering import render_record
    from prefalign.data.sources import iterate

    source = _open(options)
    if options.id is not None:
        records = [record for record in iterate(source) if record.id == options.id]
        if not records:
            raise CommandError(f"{source.name} has no record of id {options.id!r}")
    else:
        chosen = range(len(source))[max(0, options.start) : max(0, options.start) + max(0, options.count)]
        records = [source[index] for index in chosen]
    if options.json:
        _print_json([record_to_dict(record) for record in records])
        return 0
    print("\n\n".join(render_record(record) for record in records))
    return 0


# ------------------------------------------------------------------------------------------- validate, convert, formats


def _validate(options: argparse.Namespace) -> int:
    source = _open(options)
    dropped = getattr(source, "dropped", 0)
    layout = getattr(source, "layout", "a plugin's own")
    if options.json:
        _print_json({"name": source.name, "format": layout, "records": len(source), "left_out": dropped})
    else:
        left_out = f", {dropped} rows left out" if dropped else ""
        print(f"{source.name}: {len(source)} usable records, format {layout}{left_out}")
    return 1 if dropped else 0


def _convert(options: argparse.Namespace) -> int:
    from prefalign.data.formats.chat import as_chat
    from prefalign.data.formats.imitation import write_npz
    from prefalign.data.sources import iterate
    from prefalign.data.store import write_records

    output: Path = options.output
    if output.exists() and not options.overwrite:
        raise CommandError(f"{output} exists; add --overwrite to replace it")
    source = _open(options)
    records = map(as_chat, iterate(source)) if options.chat else iterate(source)
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.suffix == ".npz":
        if options.to not in (None, "imitation"):
            raise CommandError(f"an .npz file holds the layout 'imitation', not {options.to!r}")
        count = write_npz(records, output)
    else:
        count = write_records(records, output, options.to, options.media)
    if options.json:
        _print_json({"output": str(output), "format": options.to or "canonical", "records": count})
    else:
        print(f"{output}: {count} records")
    return 0


def _formats(options: argparse.Namespace) -> int:
    from prefalign.data.formats import LAYOUTS

    rows = [(name, "read, written" if layout.write else "read", layout.summary) for name, layout in LAYOUTS.items()]
    print(render_table(("format", "is", "rows"), rows))
    return 0


# --------------------------------------------------------------------------------------------------------------- stats


def _stats(options: argparse.Namespace) -> int:
    from prefalign.data.sources import iterate
    from prefalign.data.stats import describe

    source = _open(options)
    found = describe(iterate(source))
    if options.json:
        _print_json({"name": source.name, **found})
        return 0
    print(f"{source.name}: {found['records']} records")
    for title, part in found.items():
        if isinstance(part, dict) and (lines := _stat_lines(part)):
            print(f"\n{title.replace('_', ' ')}\n" + "\n".join(f"  {line}" for line in lines))
    return 0


def _stat_lines(part: dict[str, Any]) -> list[str]:
    nested = {name: value for name, value in part.items() if isinstance(value, dict)}
    rows = [(name, _number(value)) for name, value in part.items() if name not in nested and value]
    lines = render_table(("", ""), rows).splitlines()[1:] if rows else []
    for name, value in nested.items():
        if value:
            lines.append(f"{name}: " + ", ".join(f"{k.replace('_', ' ')} {_number(v)}" for k, v in value.items()))
    return lines


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, int) else f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}"
