"""Notes in seconds."""

import numpy as np
import pytest

from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.song import Note, Song
from prefalign_audio.songs.timed import TimedNotes, timed_notes


def test_all_parts_in_seconds_with_unisons_once() -> None:
    """60 quarters a minute, 2 steps a quarter: a step is 0.5 s. Both parts begin pitch 60; the longer one counts."""
    song = Song(
        length=6, tempo=60, vocal=(Note(0, 2, 60), Note(2, 1, 62)), parts={"bass": (Note(0, 4, 60), Note(4, 2, 48))}
    )
    found = timed_notes(song)
    rows = sorted(zip(found.onsets.tolist(), found.offsets.tolist(), found.pitches.tolist(), strict=True))
    assert rows == [(0.0, 2.0, 60.0), (1.0, 1.5, 62.0), (2.0, 3.0, 48.0)]
    assert len(timed_notes(Song(length=2, vocal=()))) == 0


@pytest.mark.parametrize(
    "columns",
    [
        ([0.0], [1.0], [60.0, 61.0]),
        ([[0.0]], [[1.0]], [[60.0]]),
        ([0.0], [1.0], [float("nan")]),
        ([1.0], [0.5], [60.0]),
        ([0.0], [float("inf")], [60.0]),
    ],
)
def test_bad_columns(columns: tuple[list[float], ...]) -> None:
    with pytest.raises(SongError, match="expected"):
        TimedNotes(*(np.array(column) for column in columns))
