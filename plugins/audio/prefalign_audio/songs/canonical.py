"""Songs as plain JSON and back."""

from __future__ import annotations

from typing import Any

from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.song import Note, Song, Syllable


def song_to_dict(song: Song) -> dict[str, Any]:
    """The song as JSON types: a note is [start, length, pitch, begins], a syllable [text, [phoneme, …], ends_word]."""
    return {
        "name": song.name,
        "length": song.length,
        "steps_per_quarter": song.steps_per_quarter,
        "tempo": song.tempo,
        "vocal": _notes_to_lists(song.vocal),
        "parts": {name: _notes_to_lists(notes) for name, notes in song.parts.items()},
        "lyric": [[s.text, list(s.phonemes), s.ends_word] for s in song.lyric],
    }


def song_from_dict(content: Any) -> Song:
    """The song that `song_to_dict` wrote.

    Raises:
        SongError: for anything else.
    """
    try:
        return Song(
            length=content["length"],
            vocal=_notes(content["vocal"]),
            parts={name: _notes(notes) for name, notes in content["parts"].items()},
            lyric=tuple(Syllable(text, tuple(phonemes), ends) for text, phonemes, ends in content["lyric"]),
            steps_per_quarter=content["steps_per_quarter"],
            tempo=content["tempo"],
            name=content["name"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, SongError):
            raise
        raise SongError(f"no song: {error!r}") from error


def _notes_to_lists(notes: tuple[Note, ...]) -> list[list[Any]]:
    return [[note.start, note.length, note.pitch, note.begins] for note in notes]


def _notes(content: Any) -> tuple[Note, ...]:
    return tuple(Note(start, length, pitch, begins) for start, length, pitch, begins in content)
