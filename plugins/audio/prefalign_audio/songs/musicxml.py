"""MusicXML files, read without music21, which takes half a second for what takes five milliseconds here.

Read are pitches, durations, ties, fermatas, lyrics and the tempo of partwise scores, as MusicXML 4.0 defines them.
Repeats are not unfolded, grace notes and unpitched ones are left out. Neither external entities nor any other are
resolved, and files that unpack to more than `MOST_BYTES` are refused.
"""

from __future__ import annotations

import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.score import LyricText, Part, Score, ScoreNote, Syllabic
from prefalign_audio.songs.song import PITCHES

#: What a score may unpack to. The largest of music21's corpus has 11 MB.
MOST_BYTES = 64 * 2**20

_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_NUMBER = re.compile(r"\d{1,12}(\.\d{1,12})?")
_ENTITY = "<!ENTITY"


def read_musicxml(path: str | Path) -> Score:
    """The score of a `.xml`, `.musicxml` or `.mxl` file.

    Raises:
        SongError: if there is no such file, it is too large or corrupt, or holds something else than a partwise score.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SongError(f"{path}: {path.stat().st_size} bytes; expected a score of at most {MOST_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise SongError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_musicxml(_unpacked(data, str(path)) if data[:4] == b"PK\x03\x04" else data, str(path))


def parse_musicxml(data: bytes, name: str) -> Score:
    """The score that a MusicXML document describes.

    Args:
        data: the document, not compressed.
        name: of the score, for messages.

    Raises:
        SongError: naming part and measure of what cannot be read.
    """
    if any(_ENTITY.encode(encoding) in data for encoding in ("utf-8", "utf-16-le", "utf-16-be")):
        raise SongError(f"{name}: declares XML entities; expected a document without any")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise SongError(f"{name}: no XML: {error}") from error
    if root.tag != "score-partwise":
        raise SongError(f"{name}: expected a document <score-partwise>, got <{root.tag}>; export it partwise")
    names = {part.get("id"): part.findtext("part-name") or "" for part in root.iter("score-part")}
    parts = []
    for number, part in enumerate(root.findall("part"), start=1):
        title = names.get(part.get("id")) or f"part {number}"
        notes = _joined(_notes(part, f"{name}, part {title!r}"))
        parts.append(Part(" ".join(title.split()), tuple(sorted(notes, key=lambda n: (n.start, -n.pitch)))))
    fifths = root.findtext("part/measure/attributes/key/fifths")
    return Score(
        name,
        tuple(parts),
        _tempo(root),
        None if fifths is None else _whole(fifths, name, "fifths", None),
        root.findtext("part/measure/attributes/key/mode"),
    )


#: What `zipfile` and the parser raise for damaged bytes, wherever they are.
_CORRUPT = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    ElementTree.ParseError,
    # Names of files, and encodings of XML, that are none.
    ValueError,
    LookupError,
    RuntimeError,
    NotImplementedError,
    OSError,
    EOFError,
)


def _unpacked(data: bytes, name: str) -> bytes:
    """The score inside a compressed MusicXML file, found by its container."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = "META-INF/container.xml"
            if inside in archive.namelist():
                container = ElementTree.fromstring(_member(archive, inside, name))
                inside = next((e.get("full-path", "") for e in container.iter() if e.tag.endswith("rootfile")), "")
            else:
                inside = next((n for n in archive.namelist() if n.endswith(("xml", ".musicxml"))), "")
            return _member(archive, inside, name)
    except SongError:
        raise
    except KeyError as error:
        raise SongError(f"{name}: its container names a score that it does not hold") from error
    except _CORRUPT as error:
        raise SongError(f"{name}: a corrupt compressed MusicXML file: {error}") from error


def _member(archive: zipfile.ZipFile, inside: str, name: str) -> bytes:
    with archive.open(inside) as file:
        # The directory of a hostile archive may lie about sizes, so the bytes themselves are counted.
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise SongError(f"{name}: {inside} unpacks to more than {MOST_BYTES} bytes; expected a score")
    return data


def _notes(part: ElementTree.Element, where: str) -> Iterator[tuple[ScoreNote, bool, bool]]:
    """Every pitched note with whether a tie reaches it, and whether one leaves it."""
    divisions, transposition = 1, 0
    measure_start = Fraction(0)
    for measure in part.findall("measure"):
        place = f"{where}, measure {measure.get('number')}"
        now = end = onset = measure_start
        for element in measure:
            if element.tag == "attributes":
                divisions = _whole(element.findtext("divisions"), place, "divisions", divisions)
                if divisions < 1:
                    raise SongError(f"{place}: {divisions} divisions of a quarter; expected 1 or more")
                transposition = _transposition(element.find("transpose"), place, transposition)
            elif element.tag in ("backup", "forward"):
                move = _duration(element, divisions, place)
                now = now - move if element.tag == "backup" else now + move
                if now < measure_start:
                    raise SongError(f"{place}: <backup> leads before the measure")
            elif element.tag == "note" and element.find("grace") is None:
                length = _duration(element, divisions, place)
                if element.find("chord") is None:
                    onset, now = now, now + length
                pitch = element.find("pitch")
                if pitch is not None and length > 0:
                    ties = {tie.get("type") for tie in element.findall("tie")}
                    yield (
                        ScoreNote(
                            start=onset,
                            length=length,
                            pitch=_pitch(pitch, transposition, place),
                            lyrics=tuple(_lyrics(element)),
                            fermata=element.find("notations/fermata") is not None,
                            voice=element.findtext("voice") or "1",
                        ),
                        "stop" in ties,
                        "start" in ties,
                    )
            end = max(end, now)
        measure_start = end


def _transposition(change: ElementTree.Element | None, place: str, before: int) -> int:
    """Semitones from what is written to what sounds."""
    if change is None:
        return before
    octaves = _whole(change.findtext("octave-change"), place, "octave-change", 0)
    return _whole(change.findtext("chromatic"), place, "chromatic", 0) + 12 * octaves


def _joined(notes: Iterator[tuple[ScoreNote, bool, bool]]) -> list[ScoreNote]:
    """The notes, those that are tied made one."""
    done: list[ScoreNote] = []
    open_ties: dict[tuple[int, Fraction], int] = {}
    for note, tied_from, tied_on in notes:
        index = open_ties.pop((note.pitch, note.start), None) if tied_from else None
        if index is None:
            index = len(done)
            done.append(note)
        else:
            first = done[index]
            done[index] = replace(first, length=first.length + note.length, fermata=first.fermata or note.fermata)
        if tied_on:
            open_ties[note.pitch, note.stop] = index
    return done


def _lyrics(note: ElementTree.Element) -> Iterator[LyricText]:
    for lyric in note.findall("lyric"):
        # Syllables that are sung on one note stand in several <text>, joined by <elision>.
        text = " ".join("".join(e.text or "" for e in lyric if e.tag == "text").split())
        if not any(character.isalnum() for character in text):
            continue  # a melisma's line or dash
        stated = [e.text for e in lyric.findall("syllabic")] or ["single"]
        first, last = stated[0] in ("single", "begin"), stated[-1] in ("single", "end")
        syllabic: Syllabic = ("single" if last else "begin") if first else ("end" if last else "middle")
        yield LyricText(lyric.get("number") or "1", text, syllabic)


def _pitch(element: ElementTree.Element, transposition: int, place: str) -> int:
    step = element.findtext("step") or ""
    if step not in _SEMITONES:
        raise SongError(f"{place}: a pitch of step {step!r}; expected A to G")
    octave = _whole(element.findtext("octave"), place, "octave", None)
    # Quarter tones are sung as the semitone below.
    alter = element.findtext("alter") or "0"
    try:
        semitones = int(float(alter) // 1)
    except (ValueError, OverflowError):
        raise SongError(f"{place}: a pitch altered by {alter!r}; expected a number of semitones") from None
    pitch = 12 * (octave + 1) + _SEMITONES[step] + semitones + transposition
    if pitch not in PITCHES:
        shift = f", transposed by {transposition} semitones," if transposition else ""
        raise SongError(f"{place}: the pitch {step}{octave}{shift} is MIDI number {pitch}; expected 0 to 127")
    return pitch


def _duration(element: ElementTree.Element, divisions: int, place: str) -> Fraction:
    text = (element.findtext("duration") or "").strip()
    if not _NUMBER.fullmatch(text):
        raise SongError(f"{place}: a <{element.tag}> of duration {text[:20]!r}; expected a number of divisions")
    return Fraction(text) / divisions


def _whole(text: str | None, place: str, what: str, default: int | None) -> int:
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise SongError(f"{place}: {what} is {text!r}; expected a whole number") from None


def _tempo(root: ElementTree.Element) -> float | None:
    for sound in root.iter("sound"):
        try:
            tempo = float(sound.get("tempo", ""))
        except ValueError:
            continue
        if 0 < tempo < 1000:
            return tempo
    return None
