"""`prefalign audio score`: what is wrong with sounds, and how models rate them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prefalign.cli.table import render_table
from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.commands.captions import captions_for
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import read_sound, sound_files
from prefalign_audio.sound.guard import GuardReport, inspect_sound
from prefalign_audio.sound.torchaudio_build import TorchaudioError

_MOST_SCORES = 8  # an encoder of more numbers gives an embedding, which says nothing to a reader

Judge = Callable[[Media, str], dict[str, float]]


@dataclass
class Row:
    """What is known of one file.

    Attributes:
        file: its path.
        guard: what the guard found; None where the file cannot be read.
        scores: by name; without those that the file could not be given.
        error: why something is missing.
    """

    file: Path
    guard: GuardReport | None = None
    scores: dict[str, float] = field(default_factory=dict)
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values; guard's under their own names."""
        guard = asdict(self.guard) if self.guard else {}
        return {"file": str(self.file), **guard, "scores": self.scores, "error": self.error}


def score_file(file: Path, caption: str, judges: Sequence[Judge]) -> Row:
    """Examine one file; what it cannot be given is said in its row."""
    row = Row(file)
    try:
        row.guard = inspect_sound(read_sound(file))
        for judge in judges:
            row.scores |= judge(Media(kind="audio", path=str(file)), caption)
    except SoundError as error:
        row.error = str(error).removeprefix(f"{file}: ")
    return row


def quality_judge(name: str, resample: bool, downmix: bool) -> Judge:
    """An encoder whose few features are scores, such as `distillmos`.

    Raises:
        PrefalignError: for an unknown encoder, or one that gives an embedding.
    """
    from prefalign_audio.encoders.load import load_encoder

    encoder = load_encoder(name, resample, downmix)
    if encoder.width > _MOST_SCORES:
        raise PrefalignError(
            f"{name} gives an embedding of {encoder.width} numbers and no score; compare sets of sounds with: "
            f"prefalign audio frechet FOLDER FOLDER --embedding {name}"
        )
    names = [name] if encoder.width == 1 else [f"{name}_{number}" for number in range(1, encoder.width + 1)]
    return lambda medium, _: dict(zip(names, encoder([medium])[0].tolist(), strict=True))


def clap_judge(source: str, resample: bool, downmix: bool) -> Judge:
    """The cosine of sound and caption by a CLAP model, named after its checkpoint.

    Raises:
        PrefalignError: if there is no such model.
    """
    from prefalign_audio.metrics.clap_score import CLAPScore

    metric = CLAPScore(source, resample=resample, downmix=downmix)
    return lambda medium, caption: {f"clap_score[{source}]": metric.scores([medium], [caption]).item()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign audio score",
        description="Examine sounds for silence, clipping and damage, and have models rate them.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="sound files, or folders of them")
    parser.add_argument("--encoder", action="append", default=[], metavar="NAME", help="distillmos, dnsmos; repeatable")
    parser.add_argument("--clap", metavar="ID", help="id or folder of a CLAP model; needs captions")
    captions = parser.add_mutually_exclusive_group()
    captions.add_argument("--caption", help="the caption of every file")
    captions.add_argument("--captions", metavar="JSON", help="JSON object from file names to captions")
    parser.add_argument("--resample", action="store_true", help="bring files to a model's sample rate")
    parser.add_argument("--downmix", action="store_true", help="take the mean of several channels")
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of a table")
    return parser


def _summary(rows: Sequence[Row]) -> dict[str, int]:
    seen = [row.guard for row in rows if row.guard]
    return {
        "files": len(rows),
        "unreadable": len(rows) - len(seen),
        "silent": sum(guard.silent for guard in seen),
        "clipped": sum(guard.clipped for guard in seen),
        "not_rated": sum(row.error is not None and row.guard is not None for row in rows),
    }


def _as_text(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row.scores))
    header = ["file", "s", "Hz", "ch", "peak", "dBFS", "clipped", *names, "remarks"]
    table = []
    for row in rows:
        if (guard := row.guard) is None:
            cells = [""] * 6
        else:
            levels = [f"{guard.peak:.3f}", f"{guard.rms_dbfs:z.1f}", f"{100 * guard.clipped_share:.2f} %"]
            cells = [f"{guard.seconds:.2f}", str(guard.rate), str(guard.channels), *levels]
        scores = [f"{row.scores[name]:.4f}" if name in row.scores else "" for name in names]
        remarks = [*(guard.problems if guard else ()), *([row.error] if row.error else [])]
        table.append([str(row.file), *cells, *scores, "; ".join(remarks)])
    counts = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in _summary(rows).items())
    return f"{render_table(header, table)}\n\n{counts}"


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns the exit code: 0, or 2 where a file could not be read or rated, or nothing could be."""
    options = _parser().parse_args(argv)
    try:
        if options.clap and options.caption is None and options.captions is None:
            raise PrefalignError("--clap compares sounds with captions; give --caption TEXT or --captions FILE")
        files = [file for path in options.files for file in (sound_files(path) if path.is_dir() else [path])]
        captions = captions_for(files, options.caption, options.captions)
        how = (options.resample, options.downmix)
        judges = [quality_judge(name, *how) for name in options.encoder]
        judges += [clap_judge(options.clap, *how)] if options.clap else []
        rows = [score_file(file, caption, judges) for file, caption in zip(files, captions, strict=True)]
    except (PrefalignError, TorchaudioError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({"files": [row.as_json() for row in rows], "summary": _summary(rows)}, indent=2))
    else:
        print(_as_text(rows))
    failed = [row for row in rows if row.error]
    if failed:
        print(f"error: {len(failed)} of {len(rows)} files could not be read or rated", file=sys.stderr)
    return 2 if failed else 0
