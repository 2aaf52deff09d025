"""A score as it is written, before it becomes a song: parts of notes in quarters, with lyrics, ties joined."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from prefalign_audio.songs.errors import SongError

Syllabic = Literal["single", "begin", "middle", "end"]
"""Where in its word a syllable stands."""


#: Quarters per minute of scores that state none.
TEMPO = 90.0


class ScoreError(SongError):
    """A score, or a phrase of one, that is left out.

    Args:
        where: file, part and place.
        reason: without names and numbers, so that reasons can be counted.
        detail: what was found, what was expected, and the nearest mend.
    """

    def __init__(self, where: str, reason: str, detail: str = "") -> None:
        self.where, self.reason, self.detail = where, reason, detail
        super().__init__(f"{where}: {reason}{': ' if detail else ''}{detail}")

    def __reduce__(self) -> tuple[object, ...]:
        # The default would build it anew from the message alone.
        return (ScoreError, (self.where, self.reason, self.detail))


@dataclass(frozen=True, slots=True)
class LyricText:
    """What stands under a note in one line of lyrics.

    Attributes:
        line: name of the line, mostly the number of the verse.
        text: of the syllable.
        syllabic: where in its word it stands.
    """

    line: str
    text: str
    syllabic: Syllabic


@dataclass(frozen=True, slots=True)
class ScoreNote:
    """A note, with everything that is tied to it.

    Attributes:
        start: in quarters from the beginning.
        length: in quarters, above 0.
        pitch: MIDI number.
        lyrics: one for each line that has a syllable here.
        fermata: whether one stands over any of the tied notes.
        voice: name of the voice inside the part.
    """

    start: Fraction
    length: Fraction
    pitch: int
    lyrics: tuple[LyricText, ...] = ()
    fermata: bool = False
    voice: str = "1"

    @property
    def stop(self) -> Fraction:
        """Where it ends, in quarters."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Part:
    """A part, with notes in the order of their beginnings, of equal ones the highest first."""

    name: str
    notes: tuple[ScoreNote, ...]

    @property
    def syllables(self) -> int:
        """How many notes have a syllable in some line."""
        return sum(bool(note.lyrics) for note in self.notes)


@dataclass(frozen=True, slots=True)
class Score:
    """A score.

    Attributes:
        name: where it comes from, for messages.
        parts: in the order of the file.
        tempo: the first that is stated, in quarters per minute; None if there is none.
        fifths: sharps of the first key signature, flats counted negative; None if there is none.
        mode: what the signature says beside it, such as `minor`; None if it says nothing.
    """

    name: str
    parts: tuple[Part, ...]
    tempo: float | None = None
    fifths: int | None = None
    mode: str | None = None


def top_line(notes: tuple[ScoreNote, ...], *, lowest: bool = False) -> tuple[ScoreNote, ...]:
    """One note at a time: of a chord the highest, or the lowest, and of the part's voices the one that comes first.

    Args:
        notes: of a part.
        lowest: take a chord's lowest note.
    """
    if not notes:
        return ()
    voice = min((note.voice for note in notes), key=lambda name: (len(name), name))
    kept: list[ScoreNote] = []
    stop = Fraction(0)
    own = [note for note in notes if note.voice == voice]
    for note in sorted(own, key=lambda n: (n.start, n.pitch if lowest else -n.pitch)):
        if note.start >= stop:
            kept.append(note)
            stop = note.stop
    return tuple(kept)
