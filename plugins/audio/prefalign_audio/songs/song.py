"""A song on a grid of steps: what is sung, with its syllables, and what sounds beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from prefalign_audio.songs.errors import SongError

#: The pitches of MIDI: 0 to 127, 60 is middle C.
PITCHES = range(128)


@dataclass(frozen=True, slots=True)
class Syllable:
    """One syllable of a lyric.

    Attributes:
        text: as it is written under the notes, without hyphens.
        phonemes: how it is spoken, in IPA, one phoneme an entry.
        ends_word: whether a word ends with it.
    """

    text: str
    phonemes: tuple[str, ...]
    ends_word: bool = True


@dataclass(frozen=True, slots=True)
class Note:
    """One note.

    Attributes:
        start: step at which it begins.
        length: in steps, at least 1.
        pitch: MIDI number.
        begins: a syllable begins with it; otherwise the one before goes on (a melisma), or nothing is sung.

    Raises:
        SongError: for a note without length, or a pitch that is none.
    """

    start: int
    length: int
    pitch: int
    begins: bool = False

    def __post_init__(self) -> None:
        if self.start < 0 or self.length < 1:
            raise SongError(
                f"a note at step {self.start} lasts {self.length} steps; expected 0 or later, and 1 or more"
            )
        if self.pitch not in PITCHES:
            raise SongError(f"the note at step {self.start} has pitch {self.pitch}; MIDI knows 0 to 127")

    @property
    def stop(self) -> int:
        """The step behind it."""
        return self.start + self.length


@dataclass(frozen=True, kw_only=True)
class Song:
    """A song, or a phrase of one.

    Attributes:
        length: in steps.
        vocal: notes of the voice that sings, one at a time, in order.
        parts: notes of every other part, by name (`alto`, `tenor`, `bass`); each one at a time, in order.
        lyric: the syllables that are asked for, in order. The n-th note that `begins` sings the n-th of them.
        steps_per_quarter: steps of a quarter note; 2 is a grid of eighths.
        tempo: quarter notes per minute.
        name: where it comes from, for messages.

    Raises:
        SongError: for an empty song, notes that overlap or leave it, or a tempo that is none.
    """

    length: int
    vocal: tuple[Note, ...]
    parts: dict[str, tuple[Note, ...]] = field(default_factory=dict)
    lyric: tuple[Syllable, ...] = ()
    steps_per_quarter: int = 2
    tempo: float = 90.0
    name: str = "song"

    def __post_init__(self) -> None:
        if self.length < 1:
            raise SongError(f"{self.name}: an empty song; expected at least one step")
        if self.steps_per_quarter < 1 or not (math.isfinite(self.tempo) and self.tempo > 0):
            raise SongError(
                f"{self.name}: {self.steps_per_quarter} steps per quarter at {self.tempo} quarters per minute; "
                "expected 1 or more, and a tempo above 0"
            )
        for part, notes in {"vocal": self.vocal, **self.parts}.items():
            end = 0
            for note in notes:
                if note.start < end:
                    raise SongError(f"{self.name}: the {part}'s note at step {note.start} begins before step {end}")
                end = note.stop
            if end > self.length:
                raise SongError(f"{self.name}: the {part} ends at step {end}, and the song has {self.length}")

    @property
    def seconds(self) -> float:
        """How long it sounds."""
        return self.length * self.seconds_per_step

    @property
    def seconds_per_step(self) -> float:
        """How long a step lasts."""
        return 60.0 / (self.tempo * self.steps_per_quarter)

    @property
    def onsets(self) -> int:
        """How many syllables the voice begins."""
        return sum(note.begins for note in self.vocal)
