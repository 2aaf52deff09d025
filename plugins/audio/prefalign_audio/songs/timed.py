"""Notes in seconds, as scores ask for them and transcribers hear them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.song import Song


@dataclass(frozen=True, eq=False)
class TimedNotes:
    """N notes, in no order that matters.

    Attributes:
        onsets, offsets: (N,) float64, s; an offset is not before its onset.
        pitches: (N,) float64 MIDI numbers, with fractions for what is out of tune.

    Raises:
        SongError: for other or unequal shapes, numbers that are not finite, or notes that end before they begin.
    """

    onsets: np.ndarray
    offsets: np.ndarray
    pitches: np.ndarray

    def __post_init__(self) -> None:
        columns = (self.onsets, self.offsets, self.pitches)
        if any(column.ndim != 1 or len(column) != len(self.onsets) for column in columns):
            raise SongError(f"expected three columns of N numbers, got {[column.shape for column in columns]}")
        if not all(np.isfinite(column).all() for column in columns) or (self.offsets < self.onsets).any():
            raise SongError("expected finite times and pitches, and no note that ends before it begins")

    def __len__(self) -> int:
        """N."""
        return len(self.onsets)


def timed_notes(song: Song) -> TimedNotes:
    """All notes of a song, of the vocal and the other parts; one where several parts begin the same pitch together.

    Unisons cannot be told apart by ear: they sound as long as the longest.
    """
    stops: dict[tuple[int, int], int] = {}
    for notes in (song.vocal, *song.parts.values()):
        for note in notes:
            stops[note.start, note.pitch] = max(note.stop, stops.get((note.start, note.pitch), 0))
    rows = np.array([(start, stop, pitch) for (start, pitch), stop in stops.items()], dtype=np.float64).reshape(-1, 3)
    seconds = rows[:, :2] * song.seconds_per_step
    return TimedNotes(seconds[:, 0], seconds[:, 1], rows[:, 2])
