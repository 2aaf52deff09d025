"""Phrases of chorales: from small scores by hand, and the corpus that music21 brings."""

import json
from pathlib import Path

import pytest
from tests.plugins.audio.songs.scores import document, note

from prefalign.data.cache import cache_folder
from prefalign_audio.songs import chorales as module
from prefalign_audio.songs.chorales import Chorales, chorale_number, load_chorales, melody, read_chorales
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.song import Note, Song


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left in the user's cache, and nothing found there."""
    monkeypatch.setenv("PREFALIGN_CACHE", str(tmp_path_factory.mktemp("user-cache")))


G_MAJOR = "<key><fifths>1</fifths><mode>major</mode></key>"


def chorale(soprano: str, bass: str = "", key: str = G_MAJOR) -> bytes:
    """Four voices in eighths, `divisions` 2; alto and tenor hold a note."""
    held = note("G4", 2)
    return document({"Soprano": [soprano], "Alto": [held], "Tenor": [held], "Bass": [bass or note("G3", 2)]}, key=key)


def read(folder: Path, *scores: bytes) -> Chorales:
    for number, score in enumerate(scores, start=1):
        (folder / f"bwv{number}.xml").write_bytes(score)
    return read_chorales(folder)


def test_phrases_end_at_fermatas_and_are_transposed(tmp_path: Path) -> None:
    soprano = (
        note("G4", 2, ("1", "begin", "Gna"))
        + note("A4", 1, ("1", "end", "den,"))
        + note("B4", 1, fermata=True)
        + note(None, 2)
        + note("D5", 4, ("1", "single", "du"))
    )
    chord = note("D4", 3) + note("G3", 3, chord=True)
    found = read(tmp_path, chorale(soprano, chord + note("F#3", 3) + note("G3", 4)))
    one, two = (phrase.song for phrase in found.phrases)
    # Of the bass's chord the lower note is kept.
    # G major to C major: up by five semitones; the rest between the phrases belongs to none.
    assert one.vocal == (Note(0, 2, 72, True), Note(2, 1, 74, True), Note(3, 1, 76, False))
    assert one.parts["bass"] == (Note(0, 3, 60), Note(3, 1, 59))
    assert [(s.text, s.ends_word) for s in one.lyric] == [("Gna", False), ("den,", True)]
    assert two.vocal == (Note(0, 4, 79, True),)
    assert two.parts == {"alto": (), "tenor": (), "bass": (Note(0, 4, 60),)}
    assert (one.name, two.name) == ("bach/bwv1/1", "bach/bwv1/2")
    assert [phrase.mode for phrase in found.phrases] == ["major", "major"]


def test_the_nearest_transposition_is_taken(tmp_path: Path) -> None:
    flat, sharp = (f"<key><fifths>{n}</fifths><mode>major</mode></key>" for n in (-1, 6))
    found = read(tmp_path, chorale(note("F4", 2), note("F3", 2), flat), chorale(note("F#4", 2), note("F#3", 2), sharp))
    # F to C down by five; F sharp to C by six, downwards too.
    assert [phrase.song.vocal[0].pitch for phrase in found.phrases] == [60, 60]


def test_what_lies_between_steps_is_left_out(tmp_path: Path) -> None:
    # Divisions 4: sixteenths. The second sixteenth goes; the third, which begins on a step, stays.
    soprano = "".join(note(pitch, 1) for pitch in ("C4", "D4", "E4", "F4"))
    score = chorale(soprano, note("C3", 4), "").replace(b"<divisions>2", b"<divisions>4")
    (phrase,) = read(tmp_path, score).phrases
    assert [n.pitch for n in phrase.song.vocal] == [60, 64]


def test_a_phrase_that_begins_between_steps_begins_with_the_next(tmp_path: Path) -> None:
    soprano = note(None, 3) + note("C4", 3) + note("D4", 2)
    score = chorale(soprano, note("C3", 8), "").replace(b"<divisions>2", b"<divisions>4")
    (phrase,) = read(tmp_path, score).phrases
    assert phrase.song.vocal == (Note(0, 1, 60), Note(1, 1, 62))


@pytest.mark.parametrize(
    ("soprano", "reason"),
    [
        (note("C4", 25), "longer than 24 steps"),
        (note("C4", 4) + note("D4", 4, ("1", "single", "ja")), "it begins inside a syllable"),
        (
            note("C4", 1, ("1", "single", "ja")) + note("D4", 1, ("1", "single", "ja")),
            "a syllable is shorter than a step",
        ),
        (note(None, 1) + note("C4", 1, fermata=True), "shorter than a step"),
    ],
)
def test_phrases_that_are_left_out_are_counted(tmp_path: Path, soprano: str, reason: str) -> None:
    divisions = 4 if "shorter" in reason else 2
    data = chorale(soprano, note("C3", 2), "").replace(b"<divisions>2", b"<divisions>%d" % divisions)
    assert read(tmp_path, data).dropped == {reason: 1}


def test_the_longest_phrase_has_24_steps(tmp_path: Path) -> None:
    assert read(tmp_path, chorale(note("C4", 24))).phrases[0].song.length == 24


def test_lyrics_take_the_first_line_that_begins_with_the_phrase(tmp_path: Path) -> None:
    soprano = (
        note("C4", 2, ("1", "single", "1. eins"), ("2", "single", "2. zwei"))
        + note("D4", 2, ("1", "single", "2."), ("2", "single", "da"))
        + note("E4", 2, ("1", "single", "ist"), fermata=True)
        + note("F4", 2, ("2", "single", "dann"))
        + note("G4", 2, ("1", "single", "nie"), ("2", "single", "so"))
    )
    one, two = (phrase.song for phrase in read(tmp_path, chorale(soprano, note("C3", 2), "")).phrases)
    assert [s.text for s in one.lyric] == ["eins", "ist"]
    assert [n.begins for n in one.vocal] == [True, False, True]
    assert [s.text for s in two.lyric] == ["dann", "so"]


def test_keys(tmp_path: Path) -> None:
    def mode(last: str, key: str, *others: str) -> tuple[str, int]:
        bass = "".join(note(pitch, 2) for pitch in (*others, last))
        found = read(tmp_path, chorale(note("E4", 2), bass, key))
        return found.phrases[0].mode, found.phrases[0].song.vocal[0].pitch - 64

    minor = "<key><fifths>0</fifths><mode>minor</mode></key>"
    # Ends on the tonic of what is signed, whatever else sounds.
    assert mode("A3", minor, "C3", "C3", "G3") == ("minor", 0)
    # Signed A minor, ends on E, and A minor fits best: a Phrygian close.
    assert mode("E3", minor, "A3", "A3", "A3", "C3", "A3", "C3") == ("minor", 0)
    # Signed D minor, which all of it fits, and ends on its dominant: down by five all the same.
    flat = "<key><fifths>-1</fifths><mode>minor</mode></key>"
    assert mode("A3", flat, "D3", "D3", "F3", "D3", "F3", "D3") == ("minor", -5)
    # Signed A minor, all of D minor and ends on D: up from D to A, down by five.
    assert mode("D3", minor, "D3", "F3", "A3", "D3", "A3", "D3", "F3") == ("minor", -5)


def test_every_tenth_number_is_held_out(tmp_path: Path) -> None:
    for name in [*(f"bwv{n}.6" for n in range(1, 20)), "bwv20.6", "bwv20.6-b"]:
        (tmp_path / f"{name}.xml").write_bytes(chorale(note("G4", 2)))
    found = read_chorales(tmp_path)
    assert [p.song.name for p in found.phrases if p.split == "held-out"] == [
        "bach/bwv10.6/1",
        "bach/bwv20.6-b/1",
        "bach/bwv20.6/1",
    ]
    assert len(found.songs("train", lyrics=False)) == 18
    assert found.songs("train") == []


def test_numbers_of_chorales() -> None:
    assert chorale_number(Path("bwv112.5-sc.mxl")) == "112.5"
    assert chorale_number(Path("bwv69.6.xml")) == "69.6"


def test_vocal_lines_that_are_in_training_are_leaks(tmp_path: Path) -> None:
    known, other = note("G4", 2, fermata=True), note("G4", 4)
    found = read(tmp_path, *[chorale(known)] * 9, chorale(known + other))
    assert [p.song.name for p in found.leaks()] == ["bach/bwv10/1"]
    assert found.repeated() == 9
    clean_set = found.without_leaks()
    assert [p.song.name for p in clean_set.phrases if p.split == "held-out"] == ["bach/bwv10/2"]
    assert clean_set.dropped == {"held out, but the vocal line is in training": 1}
    assert len(clean_set.phrases) == len(found.phrases) - 1


def test_melodies_are_equal_whatever_is_sung_to_them() -> None:
    one, two = Note(0, 1, 60, begins=True), Note(0, 1, 60)
    assert melody(Song(length=1, vocal=(one,))) == melody(Song(length=2, vocal=(two,)))
    assert melody(Song(length=1, vocal=(one,))) != melody(Song(length=2, vocal=(Note(0, 2, 60),)))


def test_files_that_cannot_be_used_are_named_with_the_reason(tmp_path: Path) -> None:
    high = chorale(note("G9", 2), note("F#4", 2), "")
    found = read(tmp_path, b"<a>", document({"Piano": [note("C4", 2)]}), high, chorale(note("G4", 2)))
    assert "no XML" in found.refused["bwv1.xml"]
    assert "no part 'Soprano' with notes; the parts are Piano" in found.refused["bwv2.xml"]
    # G9 is the highest pitch that MIDI knows, and goes up by three semitones to A minor.
    assert "has pitch 130" in found.refused["bwv3.xml"]
    assert (found.files, len(found.phrases)) == (4, 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SongError, match="no MusicXML files"):
        read_chorales(tmp_path / "empty")


def test_a_missing_music21_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SongError, match=r'pip install "prefalign-audio\[songs\]"'):
        load_chorales()


def test_read_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("music21")
    pytest.importorskip("espeakng_loader")
    (tmp_path / "bwv1.xml").write_bytes(chorale(note("G4", 2, ("1", "single", "Ja"))))
    monkeypatch.setattr(module, "corpus_folder", lambda: tmp_path)
    first = load_chorales()
    assert first.phrases[0].song.lyric[0].phonemes == ("j", "ɑː")
    assert first.speech is not None
    assert first.speech.coverage == 1
    (tmp_path / "bwv1.xml").unlink()
    assert load_chorales() == first
    # A damaged entry is made anew, here from a folder that has changed meanwhile.
    (tmp_path / "bwv2.xml").write_bytes(chorale(note("G4", 2)))
    (kept,) = (cache_folder() / "chorales").glob("*/chorales.json")
    kept.write_text(json.dumps({"phrases": [[{}]]}))
    assert [p.chorale for p in load_chorales().phrases] == ["2"]


@pytest.fixture(scope="module")
def corpus() -> Chorales:
    """All of music21's chorales; figures below are those of its release 10.5.1."""
    pytest.importorskip("music21")
    return read_chorales()


@pytest.mark.slow
def test_scale_of_the_corpus(corpus: Chorales) -> None:
    assert corpus.files == 410
    assert list(corpus.refused) == ["bwv846.mxl"]
    assert len(corpus.phrases) == 2408
    assert (len(corpus.songs("train")), len(corpus.songs("held-out"))) == (1782, 198)
    assert corpus.dropped == {"longer than 24 steps": 115}


@pytest.mark.slow
def test_lyrics_of_the_corpus_have_as_many_syllables_as_notes_begin(corpus: Chorales) -> None:
    for phrase in corpus.phrases:
        assert phrase.song.onsets == len(phrase.song.lyric)
        assert phrase.song.length <= 24


@pytest.mark.slow
def test_chorales_of_the_corpus_are_in_one_split(corpus: Chorales) -> None:
    held_out = {p.chorale for p in corpus.phrases if p.split == "held-out"}
    assert not held_out & {p.chorale for p in corpus.phrases if p.split == "train"}
    assert (len(corpus.leaks()), corpus.repeated()) == (114, 805)
    assert not corpus.without_leaks().leaks()
