"""`prefalign audio songs [PATH]`: what songs there are in music21's chorales, or in scores of one's own."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefalign.data.atomic import atomic_path
from prefalign.interfaces import PrefalignError
from prefalign_audio.songs.chorales import load_chorales
from prefalign_audio.songs.conversion import Reading
from prefalign_audio.songs.files import song_as_json
from prefalign_audio.songs.phonemes import PhonemeReport, speak_lyrics
from prefalign_audio.songs.scores import read_song, read_songs
from prefalign_audio.songs.song import Song


@dataclass(frozen=True)
class _Found:
    """What is printed: songs, counts by name, what was left out by reason, and where it is named."""

    songs: list[Song]
    counts: dict[str, int]
    left_out: dict[str, int] = field(default_factory=dict)
    quarantine: Path | None = None
    speech: PhonemeReport | None = None


def _chorales(language: str) -> _Found:
    chorales = load_chorales(language)
    leaks = chorales.leaks()
    counts = {
        "scores": chorales.files,
        "phrases": len(chorales.phrases),
        "phrases with lyrics": sum(bool(p.song.lyric) for p in chorales.phrases),
        "for training": len(chorales.songs("train")),
        "held out": len(chorales.songs("held-out")),
        "held out, melody in training": sum(bool(p.song.lyric) for p in leaks),
    }
    left_out = dict(chorales.dropped)
    if chorales.refused:
        left_out["scores without four voices"] = len(chorales.refused)
    return _Found([p.song for p in chorales.phrases if p.song.lyric], counts, left_out, None, chorales.speech)


def _scores(path: Path, reading: Reading, language: str) -> _Found:
    left_out: dict[str, int] = {}
    quarantine = None
    if path.is_dir():
        folder = read_songs(path, reading)
        songs, left_out = list(folder.songs), dict(folder.dropped)
        quarantine = folder.quarantine if left_out else None
    else:
        songs = [read_song(path, reading)]
    speech = None
    if any(song.lyric for song in songs):
        songs, speech = speak_lyrics(songs, language)
    counts = {
        "songs": len(songs),
        "with lyrics": sum(bool(song.lyric) for song in songs),
        "steps": sum(song.length for song in songs),
        "notes sung": sum(len(song.vocal) for song in songs),
    }
    return _Found(songs, counts, left_out, quarantine, speech)


def _as_json(found: _Found) -> dict[str, Any]:
    speech = found.speech
    return {
        **{name.replace(",", "").replace(" ", "_"): count for name, count in found.counts.items()},
        "left_out": found.left_out,
        "quarantine": None if found.quarantine is None else str(found.quarantine),
        "syllables": 0 if speech is None else speech.syllables,
        "spoken_by_word": 0 if speech is None else speech.by_word,
        "spoken_alone": 0 if speech is None else speech.alone,
        "silent": 0 if speech is None else speech.silent,
    }


def _as_text(found: _Found) -> str:
    rows = list(found.counts.items())
    if found.speech is not None:
        rows += [("syllables", found.speech.syllables), ("spoken with their word", found.speech.by_word)]
        rows += [("spoken alone", found.speech.alone), ("without phonemes", found.speech.silent)]
    rows += [(f"left out: {reason}", count) for reason, count in found.left_out.items()]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:{width}}{count:>8}" for name, count in rows]
    if found.quarantine is not None:
        lines.append(f"{found.quarantine} says why")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prefalign audio songs",
        description="Count songs with lyrics: the phrases of music21's chorales, or scores of your own.",
    )
    parser.add_argument(
        "path",
        type=Path,
        nargs="?",
        metavar="PATH",
        help="a score or a folder of them; music21's chorales if left out",
    )
    parser.add_argument("--out", type=Path, metavar="SONGS.jsonl", help="write the songs to this file, one a line")
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of a table")
    parser.add_argument("--language", default="de", help="of the lyrics, a voice of espeak-ng (default %(default)s)")
    parser.add_argument("--vocal", metavar="PART", help="the part that sings, if not the one with the most syllables")
    parser.add_argument("--no-lyrics", action="store_true", help="take scores without lyrics too")
    parser.add_argument("--steps", type=int, default=2, help="steps of a quarter note (default %(default)s, eighths)")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        help="steps that notes may lie beside the grid (default %(default)s)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit code: 0, or 1 after scores that cannot be used."""
    args = _parser().parse_args(argv)
    try:
        if args.out is not None and args.out.suffix != ".jsonl":
            raise PrefalignError(f"{args.out.name}: expected a name ending in .jsonl")
        if args.path is None:
            found = _chorales(args.language)
        else:
            reading = Reading(args.vocal, not args.no_lyrics, args.steps, args.tolerance)
            found = _scores(args.path, reading, args.language)
        if args.out is not None:
            lines = (json.dumps(song_as_json(song), ensure_ascii=False) + "\n" for song in found.songs)
            with atomic_path(args.out) as partial:
                partial.write_text("".join(lines), encoding="utf-8")
    except (PrefalignError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(_as_json(found), indent=2) if args.json else _as_text(found))
    return 0
