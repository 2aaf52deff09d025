"""Reading MIDI files: golden bytes, what lyrics look like, hostile files, and pretty_midi's reader as the oracle."""

import contextlib
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plugins.audio.songs.midi_files import chunk, lyric, meta, midi, number, off, on, tune

from prefalign_audio.songs import midi as module
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.midi import parse_midi, read_midi
from prefalign_audio.songs.score import LyricText, Part, ScoreNote


def only(*events: tuple[int, bytes]) -> Part:
    """The one part of a file of one track."""
    (part,) = parse_midi(midi(events), "m").parts
    return part


def sung(*texts: str) -> list[tuple[str, str]]:
    return [(lyric.text, lyric.syllabic) for note in only(*tune(*texts)).notes for lyric in note.lyrics]


def test_golden_track() -> None:
    name, tempo, key = meta(0x03, b"Alt"), meta(0x51, (750_000).to_bytes(3, "big")), meta(0x59, b"\xfd\x01")
    # The second note by running status, ended by a velocity of 0.
    events = [(0, name), (0, tempo), (0, key), (2, on(60)), (4, off(60)), (2, on(62)), (3, bytes([62, 0]))]
    score = parse_midi(midi(events), "m")
    assert score.parts == (
        Part("Alt", (ScoreNote(Fraction(1, 2), Fraction(1), 60), ScoreNote(Fraction(2), Fraction(3, 4), 62))),
    )
    assert (score.tempo, score.fifths, score.mode) == (80, -3, "minor")


def test_numbers_of_several_bytes() -> None:
    assert only((200, on(60)), (20_000, off(60))).notes == (ScoreNote(Fraction(50), Fraction(5000), 60),)


def test_a_pitch_that_begins_twice_ends_in_the_same_order() -> None:
    notes = only((0, on(60)), (2, on(60)), (2, off(60)), (4, off(60))).notes
    assert [(n.start, n.length) for n in notes] == [(0, 1), (0.5, 1.5)]


def test_a_note_that_never_ends_ends_with_its_track() -> None:
    assert only((0, on(60)), (4, on(62)), (4, off(62))).notes[0].length == 2


def test_channels_and_tracks_are_parts_and_drums_are_none() -> None:
    one = [(0, meta(0x03, b"piano")), (0, on(60)), (0, on(50, 2)), (0, on(40, 9)), (4, off(60)), (0, off(50, 2))]
    score = parse_midi(midi(one, [(0, on(70)), (4, off(70))]), "m")
    assert [(part.name, part.notes[0].pitch) for part in score.parts] == [
        ("piano channel 1", 60),
        ("piano channel 3", 50),
        ("track 2", 70),
    ]


def test_words_are_told_by_hyphens() -> None:
    assert sung("Gna-", "dig-", "lich", "ist") == [
        ("Gna-", "begin"),
        ("dig-", "middle"),
        ("lich", "end"),
        ("ist", "single"),
    ]


@pytest.mark.parametrize("texts", [("Gna", "de ", "ist"), ("Gna", "de", " ist"), ("/Gna", "de", "\\ist")])
def test_words_are_told_by_spaces_and_new_lines(texts: tuple[str, ...]) -> None:
    assert sung(*texts) == [("Gna", "begin"), ("de", "end"), ("ist", "single")]


def test_without_hyphens_and_spaces_each_is_a_word() -> None:
    assert sung("Herr", "du") == [("Herr", "single"), ("du", "single")]


def test_signs_that_are_no_syllables() -> None:
    assert sung("@Ttitle", "Herr", "_", "+", "\r", "du") == [("Herr", "single"), ("du", "single")]


def test_of_several_verses_the_first_is_taken() -> None:
    part = only((0, lyric("eins")), (0, lyric("zwei")), (0, on(60)), (4, off(60)))
    assert part.notes[0].lyrics == (LyricText("1", "eins", "single"),)


def test_a_chord_sings_with_its_highest_note_and_near_events_are_found() -> None:
    # An eighth of a quarter late, with eight ticks a quarter; a tick more is too late.
    events = [(0, on(60)), (0, on(64)), (1, lyric("ja")), (8, off(60)), (0, off(64))]
    score = parse_midi(midi(events, division=8), "m")
    assert [(n.pitch, [x.text for x in n.lyrics]) for n in score.parts[0].notes] == [(64, ["ja"]), (60, [])]
    late = [(0, on(60)), (2, lyric("ja")), (8, off(60))]
    with pytest.raises(SongError, match=r"^m: a lyric without a note of its own: 'ja' at quarter 0\.25"):
        parse_midi(midi(late, division=8), "m")


def test_two_syllables_for_one_note_are_refused() -> None:
    with pytest.raises(SongError, match=r"'zwei' at quarter 0\.125"):
        parse_midi(midi([(0, on(60)), (0, lyric("eins")), (1, lyric("zwei")), (8, off(60))], division=8), "m")


def test_a_track_of_words_belongs_to_the_part_that_begins_with_them() -> None:
    words = [(0, lyric("O ")), (4, lyric("du "))]
    bass = [(0, on(40)), (8, off(40))]
    score = parse_midi(midi(words, bass, tune("", "")), "m")
    assert [part.syllables for part in score.parts] == [0, 2]


def test_texts_that_are_no_utf8_are_latin() -> None:
    events = [(0, meta(0x05, "fü".encode("latin-1"))), (0, on(60)), (4, off(60))]
    assert only(*events).notes[0].lyrics[0].text == "fü"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no MIDI file"),
        (b"RIFF\0\0\0\0", "no MIDI file"),
        (chunk(b"MThd", b"\0\1"), "no MIDI file"),
        (midi([], layout=2), "format 2"),
        (midi([], division=0xE250), "time in frames"),
        (midi([], division=0), "time in frames"),
        (midi(), "no track"),
        (midi(tune("a"))[:-3], "of its"),
        (midi([(0, b"\x90\x3c\xff")]), r"track 1: corrupt MIDI file: .*cut"),
        (midi([(0, b"\x3c\x40")]), r"no message begins with 0x3c"),
        (midi([(0, b"\xf4")]), r"no message begins with 0xf4"),
        (midi([(0, b"\xff\x05\x7fa")]), "breaks off"),
        (chunk(b"MThd", b"\0\0\0\1\0\4") + chunk(b"MTrk", b"\xff\xff\xff\xff\x7f"), "more than four bytes"),
        (chunk(b"MThd", b"\0\0\0\1\0\4") + chunk(b"MTrk", b"\0"), "breaks off"),
    ],
)
def test_files_that_are_none(data: bytes, message: str) -> None:
    with pytest.raises(SongError, match=rf"^m.*{message}"):
        parse_midi(data, "m")


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SongError, match="cannot be read"):
        read_midi(tmp_path / "none.mid")
    (tmp_path / "m.mid").write_bytes(midi(tune("a")))
    assert len(read_midi(tmp_path / "m.mid").parts) == 1
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    with pytest.raises(SongError, match="too large"):
        read_midi(tmp_path / "m.mid")


@given(st.data())
def test_damaged_files_are_read_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(midi(tune("Gna-", "de"), [(0, on(40)), (8, off(40))]))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SongError):
        parse_midi(bytes(damaged), "m")


def test_numbers_are_written_as_they_are_read() -> None:
    assert [number(value) for value in (0, 127, 128, 2**28 - 1)] == [b"\0", b"\x7f", b"\x81\0", b"\xff\xff\xff\x7f"]


@pytest.mark.oracle
def test_the_same_notes_and_lyrics_as_pretty_midi_writes(tmp_path: Path) -> None:
    pretty_midi = pytest.importorskip("pretty_midi")
    written = pretty_midi.PrettyMIDI(resolution=480, initial_tempo=60)
    voice, bass = (pretty_midi.Instrument(program=program, name=str(program)) for program in (53, 33))
    voice.notes = [pretty_midi.Note(velocity=80, pitch=60 + n, start=n / 2, end=n / 2 + 0.5) for n in range(5)]
    bass.notes = [pretty_midi.Note(velocity=80, pitch=40, start=0.25, end=2.0)]
    written.instruments += [voice, bass]
    written.lyrics = [pretty_midi.Lyric(text=text, time=n / 2) for n, text in enumerate(("Lo-", "be", "den"))]
    written.write(str(tmp_path / "m.mid"))
    score = read_midi(tmp_path / "m.mid")
    assert score.tempo == 60
    assert [[(n.start, n.length, n.pitch) for n in part.notes] for part in score.parts] == [
        [(n / 2, 0.5, 60 + n) for n in range(5)],
        [(0.25, 1.75, 40)],
    ]
    assert [x.text for n in score.parts[0].notes for x in n.lyrics] == ["Lo-", "be", "den"]
