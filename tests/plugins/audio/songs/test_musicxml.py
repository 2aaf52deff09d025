"""Reading MusicXML: golden scores, hostile files, and music21's parser as the oracle."""

import contextlib
import io
import zipfile
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plugins.audio.songs.scores import document, note, packed

from prefalign_audio.songs import musicxml
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.musicxml import parse_musicxml, read_musicxml
from prefalign_audio.songs.score import LyricText, ScoreNote


def only(*measures: str, **options: object) -> list[ScoreNote]:
    """The notes of a score of one part."""
    (part,) = parse_musicxml(document({"Soprano": measures}, **options), "s").parts  # type: ignore[arg-type]
    return list(part.notes)


def test_golden_part() -> None:
    notes = only(
        note("C4", 2, ("1", "begin", "Gna"))
        + note(None, 1)
        + note("F#5", 1, ("1", "end", "den"), ("2", "single", "o")),
        note("Bb3", 4, fermata=True),
    )
    assert notes == [
        ScoreNote(Fraction(0), Fraction(1), 60, (LyricText("1", "Gna", "begin"),)),
        ScoreNote(Fraction(3, 2), Fraction(1, 2), 78, (LyricText("1", "den", "end"), LyricText("2", "o", "single"))),
        ScoreNote(Fraction(2), Fraction(2), 58, fermata=True),
    ]


def test_ties_make_one_note_that_keeps_the_first_lyric_and_any_fermata() -> None:
    notes = only(
        note("C4", 4, ("1", "single", "Ach"), tie=["start"]),
        note("C4", 4, tie=["stop", "start"]),
        note("C4", 1, fermata=True, tie=["stop"]) + note("C4", 1),
    )
    assert [(n.start, n.length, n.fermata) for n in notes] == [(0, Fraction(9, 2), True), (Fraction(9, 2), 0.5, False)]
    assert notes[0].lyrics[0].text == "Ach"


def test_a_tie_that_reaches_nothing_begins_a_note() -> None:
    assert [n.length for n in only(note("C4", 2, tie=["start"]) + note("D4", 2, tie=["stop"]))] == [1, 1]


def test_chords_and_voices_stand_where_they_sound() -> None:
    second = "<backup><duration>4</duration></backup><forward><duration>2</duration></forward>"
    notes = only(note("C4", 2) + note("E4", 2, chord=True) + note("D4", 2) + second + note("G3", 2, voice="2"))
    assert [(n.start, n.pitch, n.voice) for n in notes] == [(0, 64, "1"), (0, 60, "1"), (1, 62, "1"), (1, 55, "2")]


def test_a_measure_ends_where_its_longest_voice_does() -> None:
    short = note("C4", 4) + "<backup><duration>4</duration></backup>" + note("E4", 2, voice="2")
    assert only(short, note("G4", 2))[-1].start == 2


def test_divisions_may_change() -> None:
    change = "<attributes><divisions>4</divisions></attributes>"
    assert [n.start for n in only(note("C4", 2), change + note("C4", 2), note("C4", 2))] == [0, 1, Fraction(3, 2)]


def test_transposing_parts_are_read_as_they_sound() -> None:
    down = "<attributes><transpose><chromatic>-2</chromatic><octave-change>-1</octave-change></transpose></attributes>"
    assert [n.pitch for n in only(down + note("C5", 2))] == [72 - 14]


def test_grace_notes_unpitched_ones_and_empty_lyrics_are_left_out() -> None:
    grace = "<note><grace/><pitch><step>C</step><octave>4</octave></pitch></note>"
    drum = "<note><unpitched/><duration>2</duration></note>"
    (found,) = only(grace + drum + note("C4", 2, ("1", "single", "_"), ("2", "single", " – ")))
    assert found == ScoreNote(Fraction(1), Fraction(1), 60)


def test_syllables_elided_on_one_note_are_one() -> None:
    elided = (
        '<note><pitch><step>C</step><octave>4</octave></pitch><duration>2</duration><lyric number="1">'
        "<syllabic>end</syllabic><text>le</text><elision/><syllabic>begin</syllabic><text>i</text></lyric></note>"
    )
    assert only(elided)[0].lyrics == (LyricText("1", "lei", "middle"),)


def test_key_and_tempo() -> None:
    key = "<key><fifths>-3</fifths><mode>minor</mode></key>"
    data = document({"Soprano": [note("C4", 2)]}, key=key, tempo='<sound tempo="none"/><sound tempo="72"/>')
    score = parse_musicxml(data, "s")
    assert (score.fifths, score.mode, score.tempo) == (-3, "minor", 72)
    plain = parse_musicxml(document({"Soprano": [note("C4", 2)]}), "s")
    assert (plain.fifths, plain.mode, plain.tempo) == (None, None, None)


@pytest.mark.parametrize("container", ["score.xml", None])
def test_compressed_files(tmp_path: Path, container: str | None) -> None:
    (tmp_path / "s.mxl").write_bytes(packed(document({"Soprano": [note("C4", 2)]}), container))
    assert read_musicxml(tmp_path / "s.mxl").parts[0].notes[0].pitch == 60


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ("<note><pitch><step>H</step><octave>4</octave></pitch><duration>2</duration></note>", "step 'H'"),
        ("<note><pitch><step>C</step><octave>x</octave></pitch><duration>2</duration></note>", "octave is 'x'"),
        ("<note><pitch><step>C</step><octave>11</octave></pitch><duration>2</duration></note>", "MIDI number 144"),
        ("<note><pitch><step>C</step><octave>4</octave></pitch></note>", "duration ''"),
        ("<note><pitch><step>C</step><octave>4</octave></pitch><duration>-2</duration></note>", "duration '-2'"),
        (
            "<note><pitch><step>C</step><octave>4</octave></pitch><duration>1e99999999</duration></note>",
            "duration '1e9",
        ),
        ("<backup><duration>2</duration></backup>", "before the measure"),
        ("<attributes><divisions>0</divisions></attributes>", "0 divisions"),
        ("<attributes><divisions>two</divisions></attributes>", "divisions is 'two'"),
        (
            "<note><pitch><step>C</step><alter>inf</alter><octave>4</octave></pitch><duration>2</duration></note>",
            "altered by 'inf'",
        ),
        (
            "<attributes><transpose><chromatic>99</chromatic></transpose></attributes>" + note("C5", 2),
            "transposed by 99 semitones",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(measure: str, message: str) -> None:
    with pytest.raises(SongError, match=rf"^s, part 'Alto', measure 2: .*{message}"):
        parse_musicxml(document({"Alto": [note("C4", 2), measure]}), "s")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no XML"),
        (b"<score-partwise>", "no XML"),
        (b"<score-timewise/>", "score-partwise"),
        (b"\x00\xff" * 50, "no XML"),
        (b'<?xml version="1.0" encoding="martian"?><a/>', "no XML"),
        (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><score-partwise>&b;</score-partwise>', "entities"),
        ('<!DOCTYPE a [<!ENTITY b "bb">]><score-partwise/>'.encode("utf-16"), "entities"),
    ],
)
def test_documents_that_are_none(data: bytes, message: str) -> None:
    with pytest.raises(SongError, match=rf"^s: .*{message}"):
        parse_musicxml(data, "s")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04 and no more", "corrupt"),
        (packed(b"<score-partwise/>", container="other.xml"), "does not hold"),
        (packed(b"<score-partwise/>", container=""), "does not hold"),
        (packed(b"<score-partwise/>")[:-30], "corrupt"),
    ],
)
def test_archives_that_are_none(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "s.mxl").write_bytes(data)
    with pytest.raises(SongError, match=message):
        read_musicxml(tmp_path / "s.mxl")


def test_archives_that_unpack_to_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(musicxml, "MOST_BYTES", 10_000)
    (tmp_path / "bomb.mxl").write_bytes(packed(b" " * 1_000_000))
    assert (tmp_path / "bomb.mxl").stat().st_size < 10_000
    with pytest.raises(SongError, match="unpacks to more than"):
        read_musicxml(tmp_path / "bomb.mxl")
    (tmp_path / "large.xml").write_bytes(b" " * 10_001)
    with pytest.raises(SongError, match="at most 10000"):
        read_musicxml(tmp_path / "large.xml")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SongError, match="cannot be read"):
        read_musicxml(tmp_path / "none.xml")
    with pytest.raises(SongError, match="cannot be read"):
        read_musicxml(tmp_path)


_GOOD = packed(document({"Soprano": [note("C4", 2, ("1", "single", "ja")), note("D4", 2)]}))


@given(st.data())
def test_damaged_archives_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever happens to the bytes, no other error comes out."""
    damaged = bytearray(_GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.mxl"
    path.write_bytes(bytes(damaged[: data.draw(st.integers(1, len(damaged)))]))
    with contextlib.suppress(SongError):
        read_musicxml(path)


@pytest.mark.parametrize("change", [0x01, 0x10, 0xFF])
def test_any_single_damaged_byte_is_read_or_refused(tmp_path: Path, change: int) -> None:
    """Byte by byte: among them is what stops the decompressor itself."""
    path, refused = tmp_path / "damaged.mxl", 0
    for place in range(len(_GOOD)):
        path.write_bytes(_GOOD[:place] + bytes([_GOOD[place] ^ change]) + _GOOD[place + 1 :])
        try:
            read_musicxml(path)
        except SongError:
            refused += 1
    assert refused > len(_GOOD) // 4


def test_archives_that_are_encrypted_are_refused(tmp_path: Path) -> None:
    data = bytearray(packed(b"<score-partwise/>"))
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        assert archive.infolist()
    # The flag of encryption, in both local headers and in both entries of the directory.
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(signature, at + 1)
    (tmp_path / "s.mxl").write_bytes(bytes(data))
    with pytest.raises(SongError, match="corrupt"):
        read_musicxml(tmp_path / "s.mxl")


_VOICES = ("Soprano", "Alto", "Tenor", "Bass")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bwv1.6", "bwv101.7", "bwv248.9-1", "bwv248.23-2", "bwv194.12", "bwv67.4"])
def test_the_same_notes_and_lyrics_as_music21(name: str) -> None:
    """In the voices of the chorales; music21 loses a fermata over the later part of a tie, which none of these has."""
    music21 = pytest.importorskip("music21")
    path = next((Path(music21.__file__).parent / "corpus" / "bach").glob(f"{name}.*"))
    theirs = {
        part.partName: [
            (n.offset, n.quarterLength, n.pitch.midi, [(x.text, x.syllabic) for x in n.lyrics], fermata)
            for n in part.stripTies().flatten().notes
            for fermata in [any("Fermata" in mark.classes for mark in n.expressions)]
        ]
        for part in music21.converter.parse(path, format="musicxml", forceSource=True).parts
        if part.partName in _VOICES
    }
    ours = {
        part.name: [
            (n.start, n.length, n.pitch, [(x.text, x.syllabic) for x in n.lyrics], n.fermata) for n in part.notes
        ]
        for part in read_musicxml(path).parts
        if part.name in _VOICES
    }
    assert len(ours) == 4
    assert ours == theirs
