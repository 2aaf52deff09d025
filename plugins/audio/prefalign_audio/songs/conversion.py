"""A whole score as a song: which part sings, what the others play, and all of it on a grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from prefalign.interfaces.errors import unknown_name
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.lyrics import first_verse
from prefalign_audio.songs.score import TEMPO, Part, Score, ScoreError, ScoreNote
from prefalign_audio.songs.song import Note, Song

#: Songs of more steps are refused: an hour of sixteenths at 90 quarters a minute has 21,600.
MOST_STEPS = 100_000

#: What is proposed where notes do not fit the grid that was asked for: down to 32nds, and triplets of them.
_GRIDS = (1, 2, 3, 4, 6, 8, 12, 24)


_BASS = "bass"


@dataclass(frozen=True)
class Reading:
    """How a score becomes a song.

    Attributes:
        vocal: name of the part that sings; the one with the most syllables if None, the first if none has any.
        lyrics: a score without lyrics is refused.
        steps_per_quarter: of the grid; 2 for eighths.
        tolerance: how far notes may begin and end beside a step, in steps, at least 0 and below 0.5; they are moved to
            it. 0 for scores, more for what was played.

    Raises:
        SongError: for a grid or a tolerance that is none.
    """

    vocal: str | None = None
    lyrics: bool = True
    steps_per_quarter: int = 2
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if self.steps_per_quarter < 1 or not 0 <= self.tolerance < 0.5:
            raise SongError(
                f"{self.steps_per_quarter} steps per quarter within {self.tolerance} steps; expected 1 or more, and a "
                "tolerance from 0 to below 0.5"
            )


PLAIN = Reading()
"""Eighths, exactly, with lyrics."""


def song_of(score: Score, reading: Reading = PLAIN) -> Song:
    """A whole score as a song.

    The voice must sound one note at a time. Every other part is divided into as many lines as sound at once, named
    `<part>`, `<part> 2`, …; the lowest of these parts is named `bass` if none is.

    Args:
        score: with at least a note.
        reading: how it becomes a song.

    Raises:
        ScoreError: for a score without notes or lyrics, of too many steps, with notes beside the grid, or a voice of
            several notes at once; SongError for an unknown part.
    """
    parts = [part for part in score.parts if part.notes]
    if not parts:
        raise ScoreError(score.name, "no notes", "expected a part with at least one")
    longest = max(note.stop for part in parts for note in part.notes) * reading.steps_per_quarter
    if longest > MOST_STEPS:
        raise ScoreError(score.name, "too long", f"{math.ceil(longest)} steps; expected at most {MOST_STEPS}")
    vocal = _vocal(parts, score.name, reading)
    placed = _alone(_placed(vocal, score.name, reading), f"{score.name}, part {vocal.name!r}")
    syllables = first_verse(vocal.notes)
    others = _others([part for part in parts if part is not vocal], score.name, reading)
    sung = tuple(_note(one, index in syllables) for index, one in enumerate(placed))
    return Song(
        length=max(note.stop for notes in (sung, *others.values()) for note in notes),
        vocal=sung,
        parts=others,
        lyric=tuple(syllables.values()),
        steps_per_quarter=reading.steps_per_quarter,
        tempo=score.tempo or TEMPO,
        name=score.name,
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    """A note and its steps, from `start` to before `stop`."""

    note: ScoreNote
    start: int
    stop: int


def _vocal(parts: Sequence[Part], name: str, reading: Reading) -> Part:
    """The part that sings."""
    if reading.vocal is not None:
        found = next((part for part in parts if part.name == reading.vocal), None)
        if found is None:
            raise SongError(f"{name}: {unknown_name('part', reading.vocal, [part.name for part in parts])}")
    else:
        found = max(parts, key=lambda part: part.syllables)  # of equal ones the first
    if reading.lyrics and not found.syllables:
        detail = f"nothing is sung in {found.name!r}; the parts are {', '.join(repr(part.name) for part in parts)}"
        raise ScoreError(name, "no lyrics", detail)
    return found


def _placed(part: Part, name: str, reading: Reading) -> list[_Placed]:
    """The notes of a part on the grid."""
    where = f"{name}, part {part.name!r}"
    rate = reading.steps_per_quarter
    found = []
    for note in part.notes:
        start, stop = round(note.start * rate), round(note.stop * rate)
        beside = max(abs(note.start * rate - start), abs(note.stop * rate - stop))
        if beside > reading.tolerance:
            detail = f"{_told(note)} lies {float(beside):.3g} steps beside it; {_mend(part, reading)}"
            raise ScoreError(where, "notes beside the grid", detail)
        if start == stop:
            detail = f"{_told(note)}; expected a grid of more than {rate} steps per quarter"
            raise ScoreError(where, "a note shorter than half a step", detail)
        found.append(_Placed(note, start, stop))
    return found


def _told(note: ScoreNote) -> str:
    return f"the note of pitch {note.pitch} at quarter {float(note.start):g}"


def _mend(part: Part, reading: Reading) -> str:
    """What grid or tolerance would do for all notes of a part."""
    times = [time for note in part.notes for time in (note.start, note.stop)]
    fits = next((n for n in _GRIDS if all((time * n).denominator == 1 for time in times)), None)
    if fits is not None:
        return f"all of the part fit {fits} steps per quarter"
    off = max(abs(time * reading.steps_per_quarter - round(time * reading.steps_per_quarter)) for time in times)
    return f"no grid fits all of the part; the furthest lies {float(off):.3g} steps off, which a tolerance may allow"


def _alone(placed: list[_Placed], where: str) -> list[_Placed]:
    """The notes of the voice, of which no two sound at once."""
    for one, following in pairwise(placed):
        if following.start < one.stop:
            detail = f"{_told(following.note)} begins before {_told(one.note)} ends; give the voice a part of its own"
            raise ScoreError(where, "several voices in the part that sings", detail)
    return placed


def _others(parts: Sequence[Part], name: str, reading: Reading) -> dict[str, tuple[Note, ...]]:
    """The lines of the other parts, by name."""
    lowest = min(parts, key=lambda part: sum(n.pitch for n in part.notes) / len(part.notes), default=None)
    basses = any(part.name.lower() == _BASS for part in parts)
    found: dict[str, tuple[Note, ...]] = {}
    for part in parts:
        is_bass = part.name.lower() == _BASS or (part is lowest and not basses)
        title = _BASS if is_bass else part.name
        for line in _lines(_placed(part, name, reading), lowest=is_bass):
            # Parts that share a name, and the lines of one, are told apart by number.
            number = next(n for n in itertools.count(1) if (title if n == 1 else f"{title} {n}") not in found)
            found[title if number == 1 else f"{title} {number}"] = tuple(_note(one) for one in line)
    return found


def _lines(placed: Sequence[_Placed], lowest: bool) -> list[list[_Placed]]:
    """The notes of a part in lines of one note at a time, the first with the lowest or the highest of what begins."""
    lines: list[list[_Placed]] = []
    for one in sorted(placed, key=lambda p: (p.start, p.note.pitch if lowest else -p.note.pitch)):
        free = next((line for line in lines if line[-1].stop <= one.start), None)
        if free is None:
            lines.append([one])
        else:
            free.append(one)
    return lines


def _note(placed: _Placed, begins: bool = False) -> Note:
    return Note(placed.start, placed.stop - placed.start, placed.note.pitch, begins)
