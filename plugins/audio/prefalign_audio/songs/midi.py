"""Standard MIDI files with lyrics, as scores.

Read are notes, names of tracks, lyric events, and the first tempo and key (Standard MIDI Files 1.0, formats 0 and 1).
A part is what one track plays on one channel; the drums' channel, which has no pitches, is left out. The lyrics of a
track belong to its own notes, or where it has none to the part whose notes begin where they stand.
"""

from __future__ import annotations

import bisect
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from prefalign_audio.songs.score import LyricText, Part, Score, ScoreError, ScoreNote, Syllabic

#: Longer files are refused; an hour of dense piano has about one MB.
MOST_BYTES = 16 * 2**20

_DRUMS = 9  # channel 10, counted from 0
_SPACES = " \r\n\t/\\"  # karaoke files begin lines with a slash, and pages with a backslash
_META, _SYSEX, _SYSEX_ON = 0xFF, 0xF0, 0xF7
_TRACK_NAME, _LYRIC, _END, _TEMPO, _KEY = 0x03, 0x05, 0x2F, 0x51, 0x59
# Data bytes behind each kind of channel message, by its upper four bits.
_DATA = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}


@dataclass
class _Track:
    """What one track holds; times in ticks."""

    name: str = ""
    notes: dict[int, list[tuple[int, int, int]]] = field(default_factory=lambda: defaultdict(list))
    """(start, stop, pitch) by channel."""
    lyrics: list[tuple[int, str]] = field(default_factory=list)
    tempo: tuple[int, int] | None = None
    """(tick, microseconds of a quarter)."""
    key: tuple[int, bool] | None = None
    """(sharps, whether it is minor)."""


def read_midi(path: str | Path) -> Score:
    """The score of a `.mid` file.

    Raises:
        ScoreError: if there is no such file, it is too large or corrupt, counts time in frames, or has lyrics that no
            note begins with.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ScoreError(str(path), "too large", f"{path.stat().st_size} bytes; expected at most {MOST_BYTES}")
        return parse_midi(path.read_bytes(), str(path))
    except OSError as error:
        raise ScoreError(str(path), "cannot be read", str(error.strerror)) from error


def parse_midi(data: bytes, name: str) -> Score:
    """The score that the bytes of a MIDI file describe.

    Raises:
        ScoreError: as `read_midi`.
    """
    chunks = _chunks(data, name)
    kind, header = chunks[0] if chunks else (b"", b"")
    if kind != b"MThd" or len(header) < 6:
        raise ScoreError(name, "no MIDI file", "expected it to begin with a header `MThd`")
    layout, _, division = (int.from_bytes(header[at : at + 2], "big") for at in (0, 2, 4))
    if layout > 1:
        raise ScoreError(name, "unknown kind of MIDI file", f"format {layout}; expected 0 or 1")
    if not 0 < division < 0x8000:
        raise ScoreError(name, "time in frames", "expected ticks of a quarter; export it with a musical time base")
    tracks = [
        _track(body, f"{name}, track {number}")
        for number, (kind, body) in enumerate(chunks[1:], start=1)
        if kind == b"MTrk"
    ]
    if not tracks:
        raise ScoreError(name, "corrupt MIDI file", "it has no track")
    parts, owners = _parts(tracks, division)
    for number, track in enumerate(tracks):
        if track.lyrics:
            own = [index for index, owner in enumerate(owners) if owner == number]
            _sing(parts, own or list(range(len(parts))), track.lyrics, division, name)
    tempos = sorted(track.tempo for track in tracks if track.tempo is not None)
    key = next((track.key for track in tracks if track.key is not None), None)
    return Score(
        name,
        tuple(parts),
        60e6 / tempos[0][1] if tempos else None,
        None if key is None else key[0],
        None if key is None else "minor" if key[1] else "major",
    )


def _chunks(data: bytes, name: str) -> list[tuple[bytes, bytes]]:
    found = []
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "big")
        body = data[at + 8 : at + 8 + length]
        if len(body) < length:
            raise ScoreError(name, "corrupt MIDI file", f"a chunk at byte {at} has {len(body)} of its {length} bytes")
        found.append((data[at : at + 4], body))
        at += 8 + length
    return found


class _Bytes:
    """The bytes of a track, read one after the other."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where, self.at = data, where, 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        found = self.data[self.at : self.at + count]
        if len(found) < count:
            raise ScoreError(self.where, "corrupt MIDI file", f"it breaks off at byte {len(self.data)}")
        self.at += count
        return found

    def number(self) -> int:
        """The next number of variable length, seven bits a byte, at most four bytes."""
        value = 0
        for _ in range(4):
            byte = self.take(1)[0]
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        raise ScoreError(self.where, "corrupt MIDI file", f"a number before byte {self.at} has more than four bytes")


def _track(data: bytes, where: str) -> _Track:
    track = _Track()
    source = _Bytes(data, where)
    sounding: dict[tuple[int, int], deque[int]] = defaultdict(deque)
    tick = status = 0
    while source.at < len(data):
        tick += source.number()
        byte = source.take(1)[0]
        if byte in (_META, _SYSEX, _SYSEX_ON):
            kind = source.take(1)[0] if byte == _META else -1
            content = source.take(source.number())
            if kind == _END:
                break
            _meta(track, kind, content, tick)
            status = 0
            continue
        # Below 128 it is already data, and the status of the message before it still holds.
        status, first = (byte, b"") if byte >= 0x80 else (status, bytes([byte]))
        size = _DATA.get(status >> 4)
        if size is None:
            raise ScoreError(where, "corrupt MIDI file", f"no message begins with {byte:#04x}, byte {source.at - 1}")
        message = first + source.take(size - len(first))
        if max(message) >= 0x80:
            raise ScoreError(where, "corrupt MIDI file", f"a message of status {status:#04x} is cut, byte {source.at}")
        kind, channel = status >> 4, status & 0xF
        if kind not in (0x8, 0x9) or channel == _DRUMS:
            continue
        begun = sounding[channel, message[0]]
        if kind == 0x9 and message[1] > 0:
            begun.append(tick)
        elif begun:
            track.notes[channel].append((begun.popleft(), tick, message[0]))
    for (channel, pitch), begun in sounding.items():
        # What is never ended sounds until the track ends.
        track.notes[channel] += [(start, tick, pitch) for start in begun]
    return track


def _meta(track: _Track, kind: int, content: bytes, tick: int) -> None:
    if kind == _TRACK_NAME and not track.name:
        track.name = " ".join(_text(content).split())
    elif kind == _LYRIC:
        track.lyrics.append((tick, _text(content)))
    elif kind == _TEMPO and track.tempo is None and any(content):
        track.tempo = tick, int.from_bytes(content, "big")
    elif kind == _KEY and track.key is None and len(content) == 2:
        track.key = int.from_bytes(content[:1], "big", signed=True), content[1] == 1


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _parts(tracks: Sequence[_Track], division: int) -> tuple[list[Part], list[int]]:
    """The parts, and the index of each one's track."""
    parts: list[Part] = []
    owners = []
    for number, track in enumerate(tracks):
        for channel, notes in sorted(track.notes.items()):
            name = track.name or f"track {number + 1}"
            if len(track.notes) > 1:
                name += f" channel {channel + 1}"
            heard = sorted((n for n in notes if n[1] > n[0]), key=lambda n: (n[0], -n[2]))
            if heard:
                found = (ScoreNote(Fraction(a, division), Fraction(b - a, division), pitch) for a, b, pitch in heard)
                parts.append(Part(name, tuple(found)))
                owners.append(number)
    return parts, owners


def _sing(parts: list[Part], among: list[int], lyrics: list[tuple[int, str]], division: int, name: str) -> None:
    """Put the syllables of a track under the notes of that part which has most of them."""
    syllables = _syllables(lyrics)
    if not syllables or not among:
        return
    placed = {index: _placed(parts[index], syllables, division) for index in among}
    chosen = max(among, key=lambda index: len(placed[index]))
    found = placed[chosen]
    if len(found) < len(syllables):
        known = {id(text) for text in found.values()}
        tick, text = next((tick, text) for tick, text in syllables.items() if id(text) not in known)
        detail = f"{text.text!r} at quarter {tick / division:g}; expected a note that begins there"
        raise ScoreError(name, "a lyric without a note of its own", detail)
    notes = enumerate(parts[chosen].notes)
    sung = (replace(n, lyrics=(*n.lyrics, found[i])) if i in found else n for i, n in notes)
    parts[chosen] = Part(parts[chosen].name, tuple(sung))


def _placed(part: Part, syllables: Mapping[int, LyricText], division: int) -> dict[int, LyricText]:
    """The syllables by the index of the note that begins where they stand, within a 32nd."""
    starts = [note.start for note in part.notes]
    found: dict[int, LyricText] = {}
    for tick, text in syllables.items():
        time = Fraction(tick, division)
        after = bisect.bisect_left(starts, time)
        near = min((i for i in (after - 1, after) if 0 <= i < len(starts)), key=lambda i: abs(starts[i] - time))
        # Of a chord the highest note sings: the parts' notes are in that order.
        near = bisect.bisect_left(starts, starts[near])
        if abs(starts[near] - time) <= Fraction(1, 8) and near not in found:
            found[near] = text
    return found


def _syllables(lyrics: list[tuple[int, str]]) -> dict[int, LyricText]:
    """The syllables by tick. Signs of melismas, line breaks and the tags of karaoke files are none.

    A word goes on where a syllable ends with a hyphen. In files that have spaces in their lyrics, it also goes on where
    neither the syllable ends nor the next one begins with one.
    """
    first: dict[int, str] = {}
    for tick, text in lyrics:
        if any(c.isalnum() for c in text) and not text.startswith("@"):
            first.setdefault(tick, text)  # further verses stand behind the first
    texts = list(first.values())
    spaced = any(text != text.strip(_SPACES) for text in texts)
    found: dict[int, LyricText] = {}
    begins = True
    for tick, text, following in zip(first, texts, [*texts[1:], " "], strict=True):
        ends = not text.rstrip().endswith("-")
        if ends and spaced:
            ends = text[-1] in _SPACES or following[0] in _SPACES
        syllabic: Syllabic = ("single" if ends else "begin") if begins else ("end" if ends else "middle")
        found[tick] = LyricText("1", text.strip(_SPACES), syllabic)
        begins = ends
    return found
