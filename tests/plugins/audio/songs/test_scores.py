"""Scores of users: by suffix, by folder with quarantine, and through music21."""

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.audio.songs.midi_files import midi, tune
from tests.plugins.audio.songs.scores import document, note, packed

from prefalign.interfaces import PrefalignError
from prefalign_audio.songs.conversion import Reading
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.scores import read_song, read_songs
from prefalign_audio.songs.song import Note

SUNG = document({"Voice": [note("C4", 2, ("1", "single", "ja"))]})
PLAIN = document({"Voice": [note("C4", 2)]})


def test_files_are_read_by_their_suffix(tmp_path: Path) -> None:
    for name, data in {
        "a.xml": SUNG,
        "b.musicxml": SUNG,
        "c.MXL": packed(SUNG),
        "d.mid": midi(tune("ja")),
        "e.kar": midi(tune("ja")),
    }.items():
        (tmp_path / name).write_bytes(data)
        song = read_song(tmp_path / name)
        assert song.vocal == (Note(0, 2, 60, True),)
        assert song.lyric[0].text == "ja"
    with pytest.raises(SongError, match=r"unknown suffix '\.xm'; did you mean '\.xml'"):
        read_song(tmp_path / "a.xm")


def test_a_folder_gives_songs_and_the_reasons_of_those_it_does_not(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for name, data in {
        "b.xml": SUNG,
        "more/a.mid": midi(tune("ja")),
        "plain.xml": PLAIN,
        "plain.mid": midi(tune("")),
        "broken.mxl": b"PK\x03\x04",
        "broken.mid": b"MThd",
        "readme.txt": b"",
        ".hidden.xml": b"",
    }.items():
        (tmp_path / name).write_bytes(data)
    found = read_songs(tmp_path)
    assert [song.name for song in found.songs] == ["b.xml", "more/a.mid"]
    assert found.dropped == {"no lyrics": 2, "no MIDI file": 1, "cannot be read": 1}
    assert found.passed_over == 1
    rows = [json.loads(line) for line in found.quarantine.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["broken.mid", "broken.mxl", "plain.mid", "plain.xml"]
    assert "nothing is sung" in rows[3]["problem"]
    # Read again, the quarantine file is no file of the folder.
    assert read_songs(tmp_path).passed_over == 1
    assert len(read_songs(tmp_path, Reading(lyrics=False)).songs) == 4
    with pytest.raises(SongError, match="broken"):
        read_songs(tmp_path, on_bad="error")


def test_folders_without_a_song_are_refused(tmp_path: Path) -> None:
    (tmp_path / "plain.xml").write_bytes(PLAIN)
    with pytest.raises(SongError, match=r"none of its 1 scores is usable: no lyrics \(1\)"):
        read_songs(tmp_path)
    with pytest.raises(SongError, match="no such folder"):
        read_songs(tmp_path / "none")
    with pytest.raises(PrefalignError, match="unknown on_bad 'skp'; did you mean 'skip'"):
        read_songs(tmp_path, on_bad="skp")  # type: ignore[arg-type]


def test_a_missing_music21_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.abc").write_text("X:1\nK:C\nC\n")
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "music21":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SongError, match=r'pip install "prefalign-audio\[songs\]"'):
        read_song(tmp_path / "a.abc")


@pytest.mark.slow
def test_abc_through_music21(tmp_path: Path) -> None:
    pytest.importorskip("music21")
    (tmp_path / "a.abc").write_text("X:1\nM:4/4\nL:1/8\nK:G\nG2 F c4|\n")
    song = read_song(tmp_path / "a.abc", Reading(lyrics=False))
    assert [(n.start, n.length, n.pitch) for n in song.vocal] == [(0, 2, 67), (2, 1, 66), (3, 4, 72)]
    with pytest.raises(SongError, match="cannot be read"):
        read_song(tmp_path / "none.abc")
