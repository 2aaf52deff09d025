"""`prefalign audio songs`."""

import json
from pathlib import Path

import pytest
from tests.plugins.audio.songs.scores import document, note

from prefalign_audio.commands.songs import main
from prefalign_audio.songs import chorales
from prefalign_audio.songs.files import song_from_json

SUNG = document({"Voice": [note("C4", 2, ("1", "single", "ja")) + note("D4", 2)], "Bass": [note("C3", 4)]})
PLAIN = document({"Voice": [note("C4", 2)]})


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader")
    monkeypatch.setenv("PREFALIGN_CACHE", str(tmp_path_factory.mktemp("user-cache")))


def test_a_folder_of_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.xml").write_bytes(SUNG)
    (tmp_path / "b.xml").write_bytes(PLAIN)
    assert main([str(tmp_path), "--json", "--out", str(tmp_path / "songs.jsonl")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {
        "songs": 1,
        "with_lyrics": 1,
        "steps": 4,
        "notes_sung": 2,
        "left_out": {"no lyrics": 1},
        "quarantine": str(next(tmp_path.glob("*.quarantine.jsonl"))),
        "syllables": 1,
        "spoken_by_word": 1,
        "spoken_alone": 0,
        "silent": 0,
    }
    (line,) = (tmp_path / "songs.jsonl").read_text().splitlines()
    song = song_from_json(json.loads(line))
    assert (song.name, song.lyric[0].phonemes) == ("a.xml", ("j", "ɑː"))
    assert main([str(tmp_path)]) == 0
    assert "left out: no lyrics" in capsys.readouterr().out


def test_one_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.xml").write_bytes(PLAIN)
    assert main([str(tmp_path / "b.xml")]) == 1
    assert "no lyrics" in capsys.readouterr().err
    assert main([str(tmp_path / "b.xml"), "--no-lyrics"]) == 0
    assert main([str(tmp_path / "b.xml"), "--no-lyrics", "--steps", "0"]) == 1
    assert main([str(tmp_path / "b.xml"), "--no-lyrics", "--out", str(tmp_path / "songs.txt")]) == 1
    assert "ending in .jsonl" in capsys.readouterr().err


def test_the_chorales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("music21")
    for number in range(1, 11):
        soprano = note("C4", 2, ("1", "single", "ja"))
        voices = {"Soprano": [soprano], "Alto": [note("E4", 2)], "Tenor": [note("G3", 2)], "Bass": [note("C3", 2)]}
        (tmp_path / f"bwv{number}.xml").write_bytes(document(voices))
    (tmp_path / "bwv11.xml").write_bytes(PLAIN)
    monkeypatch.setattr(chorales, "corpus_folder", lambda: tmp_path)
    assert main(["--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["scores"], printed["phrases"], printed["for_training"], printed["held_out"]) == (11, 10, 9, 1)
    assert printed["held_out_melody_in_training"] == 1
    assert printed["left_out"] == {"scores without four voices": 1}
