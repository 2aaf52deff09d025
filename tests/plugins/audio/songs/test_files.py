"""Comparisons in JSON lines."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.files import read_comparisons, song_as_json, song_from_json
from prefalign_audio.songs.song import Note, Song, Syllable

SONG: dict[str, Any] = {"length": 4, "vocal": [[0, 2, 60, True], [2, 1, 62]]}


def write(path: Path, **changes: Any) -> Path:
    line = {"name": "a", "before": SONG, "after": SONG} | changes
    path.write_text(json.dumps(line) + "\n\n", "utf-8")
    return path


def test_a_line_is_a_comparison(tmp_path: Path) -> None:
    syllable = {"text": "Gna", "phonemes": ["ɡ", "n", "aː"], "ends_word": False}
    song = SONG | {"parts": {"bass": [[0, 4, 48]]}, "lyric": [syllable], "tempo": 60, "steps_per_quarter": 4}
    (found,) = read_comparisons(
        write(tmp_path / "a", after=song, asked=[syllable], mode="minor", register="low", scores={"x": [1, 0.5]})
    )
    assert found.before.vocal == (Note(0, 2, 60, True), Note(2, 1, 62))
    assert found.after.parts == {"bass": (Note(0, 4, 48),)}
    assert found.after.lyric == (Syllable("Gna", ("ɡ", "n", "aː"), False),) == found.asked
    assert (found.after.tempo, found.after.steps_per_quarter) == (60.0, 4)
    assert (found.mode, found.register, found.scores) == ("minor", "low", {"x": (1.0, 0.5)})


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 127), st.booleans()), max_size=6),
    st.lists(st.tuples(st.text(), st.lists(st.text(), max_size=3), st.booleans()), max_size=3),
)
def test_songs_survive_a_file(notes: list[tuple[int, int, bool]], syllables: list[tuple[str, list[str], bool]]) -> None:
    start, vocal = 0, []
    for length, pitch, begins in notes:
        vocal.append(Note(start, length, pitch, begins))
        start += length
    lyric = tuple(Syllable(text, tuple(phonemes), ends) for text, phonemes, ends in syllables)
    song = Song(length=start + 1, vocal=tuple(vocal), parts={"alto": tuple(vocal)}, lyric=lyric, name="x")
    assert song_from_json(json.loads(json.dumps(song_as_json(song)))) == song


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": 1}, "name: expected a text, got 1"),
        ({"befor": SONG}, "the line: unknown field 'befor'.*before"),
        ({"before": []}, "before: expected an object"),
        ({"after": SONG | {"length": "4"}}, "after.length: expected a whole number, got '4'"),
        ({"after": SONG | {"length": 2}}, "after: .*ends at step 3, and the song has 2"),
        ({"after": {"vocal": []}}, "after.length: expected a whole number, got None"),
        ({"after": {"length": 2}}, "after.vocal: expected a list, got 'None'"),
        ({"after": SONG | {"vocal": [[0, 1]]}}, r"after.vocal\[0\]: expected \[start, length, pitch\]"),
        ({"after": SONG | {"vocal": [[0, 1, 60, 1]]}}, r"after.vocal\[0\]: expected"),
        ({"after": SONG | {"vocal": [[0, 1, 200]]}}, "after: the note at step 0 has pitch 200"),
        ({"after": SONG | {"parts": []}}, "after.parts: expected lists of notes by name"),
        ({"after": SONG | {"tempo": "fast"}}, "after.tempo: expected a number"),
        ({"after": SONG | {"tempo": float("nan")}}, "after: .*a tempo above 0"),
        ({"asked": [{"text": 3}]}, r"asked\[0\].text: expected a text"),
        ({"asked": [{"text": "a", "ends_word": 1}]}, r"asked\[0\].ends_word: expected true or false"),
        ({"scores": {"x": [1]}}, "scores.x: expected two numbers"),
        ({"scores": {"x": [1, "2"]}}, "scores.x: expected a number"),
        ({"scores": [1]}, "scores: expected pairs"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "songs.jsonl", **changes)
    with pytest.raises(SongError, match=f"songs.jsonl, line 1: {message}"):
        read_comparisons(path)


def test_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "songs.jsonl"
    with pytest.raises(SongError, match=r"songs.jsonl: cannot be read"):
        read_comparisons(path)
    path.write_text("\n", "utf-8")
    with pytest.raises(SongError, match="no comparison in it"):
        read_comparisons(path)
    path.write_text('{"name": ', "utf-8")
    with pytest.raises(SongError, match=r"line 1: no JSON .* cut off"):
        read_comparisons(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SongError, match="cannot be read"):
        read_comparisons(path)
