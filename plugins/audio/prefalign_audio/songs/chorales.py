"""Phrases of Bach's chorales with their German lyrics, from the scores that the package music21 brings.

The files are read where the package has them; none is copied, and music21 itself is not imported.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from prefalign.data.cache import discard, entry
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.files import song_as_json, song_from_json
from prefalign_audio.songs.keys import MODES, profile_fits
from prefalign_audio.songs.musicxml import read_musicxml
from prefalign_audio.songs.phonemes import PhonemeReport, speak_lyrics
from prefalign_audio.songs.phrases import EIGHTHS, Grid, phrase, place, segments
from prefalign_audio.songs.score import TEMPO, Part, Score, ScoreError, top_line
from prefalign_audio.songs.song import Song

Mode = Literal["major", "minor"]
Split = Literal["train", "held-out"]

#: Of ten chorales in the order of their numbers the last is held out.
HOLD_OUT = 10

_VOICES = ("Soprano", "Alto", "Tenor", "Bass")
# Raised when what the code makes of the same scores changes.
_EDITION = 2
_FILE = "chorales.json"

_MODES: Mapping[str, Mode] = {"major": "major", "minor": "minor"}
_TONICS: Mapping[Mode, int] = {"major": 0, "minor": 9}


@dataclass(frozen=True)
class Phrase:
    """A phrase of a chorale.

    Attributes:
        song: in C major or A minor; the soprano is the vocal, `alto`, `tenor` and `bass` are the parts.
        chorale: its number in the catalogue, such as `101.7`.
        mode: of the whole chorale.
        split: all phrases of a chorale are in one of them.
    """

    song: Song
    chorale: str
    mode: Mode
    split: Split


@dataclass(frozen=True)
class Chorales:
    """Phrases of a corpus of chorales.

    Attributes:
        phrases: in the order of the chorales' numbers, and of the music.
        files: how many scores were read.
        refused: files that gave no phrase, with the reason.
        dropped: how many phrases were left out, by reason.
        speech: how the syllables got their phonemes; None if they have none.
    """

    phrases: tuple[Phrase, ...]
    files: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    speech: PhonemeReport | None = None

    def songs(self, split: Split, lyrics: bool = True) -> list[Song]:
        """The songs of a split.

        Args:
            split: which.
            lyrics: only those that have some.
        """
        return [p.song for p in self.phrases if p.split == split and (p.song.lyric or not lyrics)]

    def repeated(self) -> int:
        """How many phrases have a vocal line that an earlier phrase has, of the same chorale or another."""
        return len(self.phrases) - len({melody(p.song) for p in self.phrases})

    def leaks(self) -> list[Phrase]:
        """Held-out phrases whose vocal line, in pitches and rhythm, some phrase of the training split has too."""
        known = {melody(p.song) for p in self.phrases if p.split == "train"}
        return [p for p in self.phrases if p.split == "held-out" and melody(p.song) in known]

    def without_leaks(self) -> Chorales:
        """The same without held-out phrases whose vocal line is known from training; they are counted as dropped."""
        leaks = {id(p) for p in self.leaks()}
        kept = tuple(p for p in self.phrases if id(p) not in leaks)
        dropped = {**self.dropped, "held out, but the vocal line is in training": len(leaks)}
        return replace(self, phrases=kept, dropped=dropped)

    def spoken(self, language: str = "de") -> Chorales:
        """The same with the phonemes of every syllable.

        Raises:
            SongError: as `speak_lyrics`.
        """
        songs, report = speak_lyrics([p.song for p in self.phrases], language)
        phrases = tuple(replace(p, song=song) for p, song in zip(self.phrases, songs, strict=True))
        return replace(self, phrases=phrases, speech=report)


def melody(song: Song) -> tuple[int, ...]:
    """The vocal line as start, length and pitch of each note, whatever is sung to it."""
    return tuple(number for note in song.vocal for number in (note.start, note.length, note.pitch))


def load_chorales(language: str = "de", grid: Grid = EIGHTHS) -> Chorales:
    """The chorales of the installed music21, read and spoken once and then kept in prefalign's cache.

    Args:
        language: as which the lyrics are spoken; see `speak_lyrics`. What is in the cache needs no espeak-ng.
        grid: on which the phrases are put.

    Raises:
        SongError: as `read_chorales` and `speak_lyrics`.
    """
    folder = corpus_folder()
    key = (str(_EDITION), version("music21"), language, str(grid.steps_per_quarter), str(grid.most_steps))

    def make(target: Path) -> None:
        content = _to_json(read_chorales(folder, grid).spoken(language))
        (target / _FILE).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    kept = entry("chorales", key, make)
    try:
        return _from_json(json.loads((kept / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        # A damaged entry is made anew, once.
        discard(kept)
        return _from_json(json.loads((entry("chorales", key, make) / _FILE).read_text(encoding="utf-8")))


def read_chorales(folder: Path | None = None, grid: Grid = EIGHTHS) -> Chorales:
    """Read and cut the chorales.

    Args:
        folder: with MusicXML scores named `bwv<number>`; music21's if None.
        grid: on which the phrases are put.

    Raises:
        SongError: if music21 is not installed, or the folder has no scores.
    """
    folder = corpus_folder() if folder is None else folder
    files = sorted((f for f in folder.iterdir() if f.suffix in (".mxl", ".xml", ".musicxml")), key=_order)
    if not files:
        raise SongError(f"{folder}: no MusicXML files; expected scores of chorales")
    numbers: list[str] = []
    phrases: list[Phrase] = []
    refused: dict[str, str] = {}
    dropped: Counter[str] = Counter()
    for file in files:
        number = chorale_number(file)
        if number not in numbers:
            numbers.append(number)
        split: Split = "held-out" if len(numbers) % HOLD_OUT == 0 else "train"
        try:
            score = read_musicxml(file)
            voices = _voices(score)
            tonic, mode = key_of(score, voices)
            semitones = (_TONICS[mode] - tonic + 6) % 12 - 6
            songs = list(_phrases(score, voices, semitones, grid, f"bach/{file.stem}", dropped))
        except SongError as error:
            refused[file.name] = str(error)
            continue
        phrases += [Phrase(song, number, mode, split) for song in songs]
    return Chorales(tuple(phrases), len(files), refused, dict(dropped))


def _to_json(chorales: Chorales) -> dict[str, Any]:
    return {
        "phrases": [[song_as_json(p.song), p.chorale, p.mode, p.split] for p in chorales.phrases],
        "files": chorales.files,
        "refused": dict(chorales.refused),
        "dropped": dict(chorales.dropped),
        "speech": None if chorales.speech is None else asdict(chorales.speech),
    }


def _from_json(content: dict[str, Any]) -> Chorales:
    phrases = (Phrase(song_from_json(song), *facts) for song, *facts in content["phrases"])
    speech = None if content["speech"] is None else PhonemeReport(**content["speech"])
    return Chorales(tuple(phrases), content["files"], content["refused"], content["dropped"], speech)


def corpus_folder() -> Path:
    """Where music21 keeps the chorales.

    Raises:
        SongError: if it is not installed.
    """
    spec = importlib.util.find_spec("music21")
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent / "corpus" / "bach"
    if folder is None or not folder.is_dir():
        raise SongError(
            'the chorales are in the package music21, which is not installed: pip install "prefalign-audio[songs]"'
        )
    return folder


def chorale_number(file: Path) -> str:
    """`101.7` of `bwv101.7.mxl`; versions and parts of one work, `bwv112.5-sc.mxl`, share a number."""
    return file.stem.removeprefix("bwv").partition("-")[0]


def _order(file: Path) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"\d+", chorale_number(file))], file.name


def _voices(score: Score) -> dict[str, Part]:
    found = {}
    for voice in _VOICES:
        # Some scores name the instruments beside the voice that they double.
        part = next((p for p in score.parts if p.name.startswith(voice) and p.notes), None)
        if part is None:
            names = ", ".join(p.name for p in score.parts)
            raise SongError(f"{score.name}: no part {voice!r} with notes; the parts are {names or 'none'}")
        found[voice.lower()] = part
    return found


def key_of(score: Score, voices: Mapping[str, Part]) -> tuple[int, Mode]:
    """(tonic, mode) of a chorale.

    It is the signed key if the bass ends on its tonic. Else it is, of the signed key and the two on that last note, the
    one whose Krumhansl-Kessler profile fits all notes of the voices best: modal chorales end on another degree than
    their signature says, and some files lack the signature.
    """
    weights = np.zeros(12)
    for part in voices.values():
        for note in part.notes:
            weights[note.pitch % 12] += float(note.length)
    final = top_line(voices["bass"].notes, lowest=True)[-1].pitch % 12
    candidates: list[tuple[int, Mode]] = [(final, mode) for mode in _TONICS]
    if score.fifths is not None and (mode := _MODES.get(score.mode or "")) is not None:
        signed = (7 * score.fifths + _TONICS[mode]) % 12, mode
        if signed[0] == final:
            return signed
        candidates.append(signed)
    fits = profile_fits(weights[None])[0]
    return max(candidates, key=lambda key: fits[12 * MODES.index(key[1]) + key[0]])


def _phrases(
    score: Score, voices: Mapping[str, Part], semitones: int, grid: Grid, name: str, dropped: Counter[str]
) -> Iterator[Song]:
    lines = {voice: place(top_line(part.notes, lowest=voice == "bass"), grid) for voice, part in voices.items()}
    vocal = lines.pop("soprano")
    for number, notes in enumerate(segments(vocal), start=1):
        try:
            yield phrase(notes, lines, semitones, grid, f"{name}/{number}", score.tempo or TEMPO)
        except ScoreError as error:
            dropped[error.reason] += 1
