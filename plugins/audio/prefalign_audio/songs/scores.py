"""Scores of users as songs: one file, or a folder of them.

MusicXML and MIDI are read here; ABC, Humdrum's kern and what else music21 knows are read by it, without lyrics where it
does not read them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from prefalign.data.quarantine import Quarantine, quarantine_path
from prefalign.data.sources import OnBad
from prefalign.interfaces import RecordError
from prefalign.interfaces.errors import unknown_name
from prefalign_audio.songs.conversion import PLAIN, Reading, song_of
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.midi import read_midi
from prefalign_audio.songs.musicxml import read_musicxml
from prefalign_audio.songs.score import LyricText, Part, Score, ScoreError, ScoreNote
from prefalign_audio.songs.song import Song

_EXTRA = "prefalign-audio[songs]"


def read_song(path: str | Path, reading: Reading = PLAIN) -> Song:
    """The song in one score.

    Args:
        path: `.musicxml`, `.xml`, `.mxl`, `.mid`, `.midi`, `.kar`; `.abc`, `.krn` by music21.
        reading: how it becomes a song.

    Raises:
        SongError: for a file that cannot be read, holds no notes, or does not fit the reading.
    """
    return song_of(read_score(path), reading)


def read_score(path: str | Path) -> Score:
    """The score in a file, by its suffix.

    Raises:
        SongError: for an unknown suffix, and a file that cannot be read.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _READERS:
        raise SongError(f"{path}: {unknown_name('suffix', suffix, _READERS)}")
    return _READERS[suffix](path)


@dataclass(frozen=True)
class SongFolder:
    """The songs of a folder of scores.

    Attributes:
        songs: in the order of their paths.
        dropped: how many scores were left out, by reason.
        passed_over: how many files are no scores by their suffix.
        quarantine: where the scores that were left out are named; there is no such file if none was.
    """

    songs: tuple[Song, ...]
    dropped: Mapping[str, int]
    passed_over: int
    quarantine: Path


def read_songs(
    folder: str | Path, reading: Reading = PLAIN, on_bad: OnBad = "skip", quarantine: Path | None = None
) -> SongFolder:
    """The songs of all scores in a folder and the folders in it.

    Args:
        folder: where.
        reading: how scores become songs.
        on_bad: `skip` writes what cannot be used to the quarantine file, with the reason; `error` raises.
        quarantine: that file, or the folder for it; in `folder` if None.

    Raises:
        SongError: if there is no such folder, or nothing in it is usable; for the first bad score with `error`.
    """
    if on_bad not in ("error", "skip"):
        raise unknown_name("on_bad", on_bad, ("error", "skip"))
    folder = Path(folder)
    if not folder.is_dir():
        raise SongError(f"{folder}: no such folder; expected one with scores")
    target = quarantine_path(folder.resolve().name, folder, quarantine)
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and path != target and not path.name.startswith(".")
    )
    scores = [path for path in files if path.suffix.lower() in _READERS]
    songs = []
    dropped: Counter[str] = Counter()
    with Quarantine(target, "reading") as refused:
        for path in scores:
            place = str(path.relative_to(folder))
            try:
                songs.append(replace(read_song(path, reading), name=place))
            except SongError as error:
                if on_bad == "error":
                    raise
                dropped[error.reason if isinstance(error, ScoreError) else "cannot be read"] += 1
                refused.write({"file": place}, RecordError(str(error), field="score", record_id=place, where=str(path)))
    if not songs:
        found = ", ".join(f"{reason} ({count})" for reason, count in dropped.items())
        raise SongError(f"{folder}: none of its {len(scores)} scores is usable{': ' if found else ''}{found}")
    return SongFolder(tuple(songs), dict(dropped), len(files) - len(scores), target)


def _by_music21(path: str | Path) -> Score:
    """A score in one of the many formats that music21 reads."""
    if not Path(path).is_file():
        raise ScoreError(str(path), "cannot be read", "no such file")
    try:
        from music21 import converter
    except ImportError as error:
        raise SongError(f'{path}: music21 reads these, and is not installed: pip install "{_EXTRA}"') from error
    try:
        found: Any = converter.parse(Path(path), forceSource=True)
        parts = []
        for number, part in enumerate(found.parts, start=1):
            notes = tuple(_notes_of_music21(part))
            parts.append(Part(part.partName or f"part {number}", notes))
    except Exception as error:  # its parsers raise whatever happens to them
        raise ScoreError(str(path), "cannot be read", f"music21: {error!r}") from error
    return Score(str(path), tuple(parts))


def _notes_of_music21(part: Any) -> Iterator[ScoreNote]:
    for note in part.stripTies().flatten().notes:
        if note.duration.isGrace:
            continue
        lyrics = tuple(LyricText(str(x.number), x.text, x.syllabic or "single") for x in note.lyrics if x.text)
        fermata = any("Fermata" in mark.classes for mark in note.expressions)
        for pitch in sorted(note.pitches, reverse=True):
            yield ScoreNote(Fraction(note.offset), Fraction(note.quarterLength), pitch.midi, lyrics, fermata)
            lyrics = ()


_Reader = Callable[[str | Path], Score]
_READERS: Mapping[str, _Reader] = {
    **dict.fromkeys((".musicxml", ".xml", ".mxl"), read_musicxml),
    **dict.fromkeys((".mid", ".midi", ".kar"), read_midi),
    **dict.fromkeys((".abc", ".krn"), _by_music21),
}
