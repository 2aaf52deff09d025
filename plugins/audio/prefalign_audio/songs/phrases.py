"""Scores to phrases: cut at the fermatas of the voice that sings, transposed, and put on a grid of steps.

A step holds what sounds at its beginning. So a note that begins between two steps moves to the next one, and a note
that lies between two steps altogether is left out; a phrase in which a syllable would be lost with it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prefalign_audio.songs.lyrics import first_verse
from prefalign_audio.songs.score import ScoreError, ScoreNote
from prefalign_audio.songs.song import Note, Song


@dataclass(frozen=True)
class Grid:
    """What a phrase is put on.

    Attributes:
        steps_per_quarter: 2 for eighths.
        most_steps: longer phrases are refused.
    """

    steps_per_quarter: int = 2
    most_steps: int = 24


EIGHTHS = Grid()
"""Eighths, at most three bars of four quarters."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A note of a score and the steps, from `first` to before `last`, at whose beginnings it sounds; maybe none."""

    note: ScoreNote
    first: int
    last: int


def place(notes: Sequence[ScoreNote], grid: Grid) -> list[Placed]:
    """The notes of one voice on the grid."""
    rate = grid.steps_per_quarter
    return [Placed(note, math.ceil(note.start * rate), math.ceil(note.stop * rate)) for note in notes]


def segments(vocal: Sequence[Placed]) -> Iterator[Sequence[Placed]]:
    """The notes of a voice, cut behind every fermata; what follows the last one is a segment too."""
    begin = 0
    for index, placed in enumerate(vocal):
        if placed.note.fermata or index == len(vocal) - 1:
            yield vocal[begin : index + 1]
            begin = index + 1


def phrase(
    vocal: Sequence[Placed],
    parts: Mapping[str, Sequence[Placed]],
    semitones: int,
    grid: Grid,
    name: str,
    tempo: float,
) -> Song:
    """One phrase.

    Args:
        vocal: notes of the voice that sings, one at a time.
        parts: the other parts, one note at a time.
        semitones: by which everything is transposed.
        grid: on which the notes are placed.
        name: of the phrase.
        tempo: in quarters per minute.

    Raises:
        ScoreError: for a phrase that is silent or too long, loses a syllable, or begins in the middle of one.
    """
    start, stop = vocal[0].first, vocal[-1].last
    syllables = first_verse([placed.note for placed in vocal])
    for index, syllable in syllables.items():
        if vocal[index].first == vocal[index].last:
            raise ScoreError(name, "a syllable is shorter than a step", repr(syllable.text))
    if start == stop:
        raise ScoreError(name, "shorter than a step")
    if stop - start > grid.most_steps:
        raise ScoreError(name, f"longer than {grid.most_steps} steps", f"{stop - start} steps")
    sung = [(placed, index in syllables) for index, placed in enumerate(vocal) if placed.first < placed.last]
    if syllables and not sung[0][1]:
        raise ScoreError(name, "it begins inside a syllable")
    return Song(
        length=stop - start,
        vocal=tuple(_note(placed, start, stop, semitones, begins) for placed, begins in sung),
        parts={
            part: tuple(
                _note(placed, start, stop, semitones)
                for placed in notes
                if max(placed.first, start) < min(placed.last, stop)
            )
            for part, notes in parts.items()
        },
        lyric=tuple(syllables.values()),
        steps_per_quarter=grid.steps_per_quarter,
        tempo=tempo,
        name=name,
    )


def _note(placed: Placed, start: int, stop: int, semitones: int, begins: bool = False) -> Note:
    first, last = max(placed.first, start), min(placed.last, stop)
    return Note(first - start, last - first, placed.note.pitch + semitones, begins)
