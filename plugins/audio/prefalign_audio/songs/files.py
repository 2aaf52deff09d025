"""Comparisons of songs in a file of JSON lines, for rendering.

A line holds one comparison, with plain names for all that `Song` and `Comparison` hold:

    {"name": "phrase-1", "before": SONG, "after": SONG, "asked": [SYLLABLE, …], "mode": "minor", "register": "low",
     "scores": {"lyric error": [0.4, 0.1]}}
    SONG: {"length": 8, "vocal": [[start, length, pitch, begins], …], "parts": {"bass": [[0, 8, 48], …]},
           "lyric": [SYLLABLE, …], "tempo": 90, "steps_per_quarter": 2}
    SYLLABLE: {"text": "Gna", "phonemes": ["ɡ", "n", "aː"], "ends_word": false}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefalign.interfaces import unknown_name
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.listening import Comparison
from prefalign_audio.songs.song import Note, Song, Syllable

_COMPARISON = ("name", "before", "after", "asked", "mode", "register", "scores")
_SONG = ("length", "vocal", "parts", "lyric", "tempo", "steps_per_quarter", "name")
_SYLLABLE = ("text", "phonemes", "ends_word")


def read_comparisons(path: Path) -> list[Comparison]:
    """Read such a file.

    Raises:
        SongError: the file cannot be read or holds nothing; or a line is no comparison; the message names line and
            field.
    """
    try:
        lines = Path(path).read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SongError(f"{path}: cannot be read ({error}); expected a file of JSON lines") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise SongError(f"{path}, line {number}: no JSON ({error}); was the file cut off?") from None
        try:
            found.append(_comparison(_fields(value, _COMPARISON, "the line")))
        except SongError as error:
            raise SongError(f"{path}, line {number}: {error}") from None
    if not found:
        raise SongError(f"{path}: no comparison in it; expected a JSON object on each line")
    return found


def song_as_json(song: Song) -> dict[str, Any]:
    """A song as a file holds it."""
    notes = {name: [_numbers(note) for note in part] for name, part in {"": song.vocal, **song.parts}.items()}
    return {
        "length": song.length,
        "vocal": notes.pop(""),
        "parts": notes,
        "lyric": [_syllable_as_json(one) for one in song.lyric],
        "tempo": song.tempo,
        "steps_per_quarter": song.steps_per_quarter,
        "name": song.name,
    }


def song_from_json(value: Any, where: str = "song") -> Song:
    """The song of a file.

    Raises:
        SongError: for fields that are missing, unknown or of another kind, and for what is no song.
    """
    held = _fields(value, _SONG, where)
    parts = held.get("parts", {})
    if not isinstance(parts, dict):
        raise SongError(f"{where}.parts: expected lists of notes by name, got {parts!r}")
    try:
        return Song(
            length=_whole(held.get("length"), f"{where}.length"),
            vocal=_notes(held.get("vocal"), f"{where}.vocal"),
            parts={str(name): _notes(notes, f"{where}.parts.{name}") for name, notes in parts.items()},
            lyric=_syllables(held.get("lyric", []), f"{where}.lyric"),
            tempo=_number(held.get("tempo", 90.0), f"{where}.tempo"),
            steps_per_quarter=_whole(held.get("steps_per_quarter", 2), f"{where}.steps_per_quarter"),
            name=_text(held.get("name", where), f"{where}.name"),
        )
    except SongError as error:
        raise SongError(str(error) if str(error).startswith(where) else f"{where}: {error}") from None


def _comparison(held: Mapping[str, Any]) -> Comparison:
    scores = held.get("scores", {})
    if not isinstance(scores, dict):
        raise SongError(f"scores: expected pairs of numbers by name, got {scores!r}")
    for name, pair in scores.items():
        if not isinstance(pair, list) or len(pair) != 2:
            raise SongError(f"scores.{name}: expected two numbers, before and after, got {pair!r}")
    return Comparison(
        name=_text(held.get("name"), "name"),
        before=song_from_json(held.get("before"), "before"),
        after=song_from_json(held.get("after"), "after"),
        asked=_syllables(held["asked"], "asked") if held.get("asked") is not None else None,
        mode=_text(held.get("mode", ""), "mode"),
        register=_text(held.get("register", ""), "register"),
        scores={
            name: (_number(pair[0], f"scores.{name}"), _number(pair[1], f"scores.{name}"))
            for name, pair in scores.items()
        },
    )


def _fields(value: Any, known: Sequence[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SongError(f"{where}: expected an object with {', '.join(known)}, got {str(value)[:60]!r}")
    for name in value:
        if name not in known:
            raise SongError(f"{where}: {unknown_name('field', name, known)}")
    return value


def _notes(value: Any, where: str) -> tuple[Note, ...]:
    notes = []
    for index, row in enumerate(_items(value, where)):
        place = f"{where}[{index}]"
        if not isinstance(row, list) or len(row) not in (3, 4) or not isinstance(row[3:] == [] or row[3], bool):
            raise SongError(f"{place}: expected [start, length, pitch] or [start, length, pitch, begins], got {row!r}")
        start, length, pitch = (_whole(number, place) for number in row[:3])
        notes.append(Note(start, length, pitch, bool(row[3]) if len(row) == 4 else False))
    return tuple(notes)


def _numbers(note: Note) -> list[Any]:
    return [note.start, note.length, note.pitch, note.begins]


def _syllables(value: Any, where: str) -> tuple[Syllable, ...]:
    found = []
    for index, item in enumerate(_items(value, where)):
        place = f"{where}[{index}]"
        held = _fields(item, _SYLLABLE, place)
        phonemes = tuple(_text(one, f"{place}.phonemes") for one in _items(held.get("phonemes", []), place))
        ends = held.get("ends_word", True)
        if not isinstance(ends, bool):
            raise SongError(f"{place}.ends_word: expected true or false, got {ends!r}")
        found.append(Syllable(_text(held.get("text"), f"{place}.text"), phonemes, ends))
    return tuple(found)


def _syllable_as_json(syllable: Syllable) -> dict[str, Any]:
    return {"text": syllable.text, "phonemes": list(syllable.phonemes), "ends_word": syllable.ends_word}


def _items(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise SongError(f"{where}: expected a list, got {str(value)[:60]!r}")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise SongError(f"{where}: expected a text, got {value!r}")
    return value


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SongError(f"{where}: expected a whole number, got {value!r}")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SongError(f"{where}: expected a number, got {value!r}")
    return float(value)
