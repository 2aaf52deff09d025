"""What a song answers."""

import dataclasses
import json

import pytest

from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.prompts import prompt_of
from prefalign_audio.songs.song import Note, Song, Syllable
from prefalign_audio.songs.tokens import SongTokens

TOKENS = SongTokens(sets=(0,), vocal=(40, 90), bass=(30, 50), registers=(62.0, 65.0))

# A minor: A C E, and the leading note.
SONG = Song(
    length=8,
    vocal=(Note(0, 4, 69, begins=True), Note(4, 2, 68), Note(6, 2, 69, begins=True)),
    parts={
        "alto": (Note(0, 8, 64),),
        "tenor": (Note(0, 4, 60), Note(6, 2, 60)),
        "bass": (Note(0, 4, 45), Note(4, 2, 40), Note(6, 2, 45)),
    },
    lyric=(Syllable("Gna", ("ɡ", "n", "aː"), False), Syllable("de", ("d", "ə"))),
    name="s1",
)


def test_golden_prompt() -> None:
    prompt = prompt_of(SONG, TOKENS)
    assert prompt.text is None
    assert json.loads(json.dumps(prompt.conditions)) == {
        "syllables": [
            {"text": "Gna", "phonemes": ["ɡ", "n", "aː"], "ends_word": False},
            {"text": "de", "phonemes": ["d", "ə"], "ends_word": True},
        ],
        "mode": "minor",
        "register": "high",
    }


def test_registers_begin_at_their_thresholds() -> None:
    def register(*pitches: int) -> str:
        vocal = tuple(Note(i, 1, pitch, begins=i < 2) for i, pitch in enumerate(pitches))
        return str(prompt_of(dataclasses.replace(SONG, vocal=vocal), TOKENS).conditions["register"])

    assert [register(61, 62), register(62, 62), register(64, 65), register(65, 65)] == [
        "low",
        "middle",
        "middle",
        "high",
    ]
    # The mean is over time: a long low note counts as often as it sounds.
    vocal = (Note(0, 7, 61, begins=True), Note(7, 1, 66, begins=True))
    assert prompt_of(dataclasses.replace(SONG, vocal=vocal), TOKENS).conditions["register"] == "low"


def test_songs_that_cannot_be_asked_for() -> None:
    for change, message in (
        ({"lyric": ()}, "s1: no lyric"),
        ({"lyric": SONG.lyric[:1]}, "2 notes begin a syllable, and the lyric has 1"),
        ({"lyric": (SONG.lyric[0], Syllable("de", ()))}, "syllable 2, 'de', has no phonemes"),
    ):
        with pytest.raises(SongError, match=message):
            prompt_of(dataclasses.replace(SONG, **change), TOKENS)  # type: ignore[arg-type]
