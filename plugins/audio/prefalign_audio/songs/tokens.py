"""Songs as three streams of codes: what sounds, what is sung, and the bass.

Axes: N songs, K = 3 streams, T steps. Per step,
- `mixed` holds the class of the set of all pitch classes that sound,
- `vocal` a rest, the continuation of a note, or a pitch that begins: one range of codes for those that begin a
  syllable, one for those that go on with it (a melisma),
- `bass` a rest, the continuation of a note, or a pitch that begins.

The layout follows LeVo's mixed and dual-track tokens (arXiv 2506.07520), with notes in the place of an audio codec.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefalign.data.atomic import atomic_path
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.song import PITCHES, Note, Song, Syllable

STREAMS = ("mixed", "vocal", "bass")
"""Names of the streams, in their order."""

REST, HOLD = 0, 1
"""Codes of the vocal and of the bass: nothing sounds; the note before goes on."""

HARMONY = "harmony"
"""Parts of a decoded song that sound what the mixed stream has and neither vocal nor bass does: one a pitch class."""

_FORMAT = "prefalign-song-tokens"
_EDITION = 1
_FIRST_PITCH = 2
# The harmony's octave: G below middle C, and what lies above it.
_HARMONY_FROM = 55


@dataclass(frozen=True)
class SongArrays:
    """What N songs do in each of T steps; False, or -1 for pitches, behind the end of a song.

    Attributes:
        vocal: (N, T) int64 MIDI number that the voice sounds, -1 where it rests.
        vocal_onsets: (N, T) bool, a note of the voice begins.
        syllable_onsets: (N, T) bool, a syllable begins.
        bass: (N, T) int64 MIDI number, -1 where it rests.
        bass_onsets: (N, T) bool.
        pitch_classes: (N, T, 12) bool, what sounds by the mixed stream. Of a set that has no class of its own only what
            vocal and bass sound is known.
        steps: (N, T) bool, the steps that belong to a song.
    """

    vocal: NDArray[np.int64]
    vocal_onsets: NDArray[np.bool_]
    syllable_onsets: NDArray[np.bool_]
    bass: NDArray[np.int64]
    bass_onsets: NDArray[np.bool_]
    pitch_classes: NDArray[np.bool_]
    steps: NDArray[np.bool_]


@dataclass(frozen=True)
class SongTokens:
    """The vocabulary of the streams.

    Attributes:
        sets: the pitch-class sets that have a class, as masks: bit p is pitch class p, 0 is silence. All others share
            the class behind them.
        vocal: lowest and highest pitch of the voice, MIDI numbers.
        bass: those of the bass.
        registers: mean pitches of the voice at which the middle and the high register begin, MIDI numbers.
        steps_per_quarter: of the grid.

    Raises:
        SongError: for no sets, one that occurs twice or is none, an empty range, or registers out of order.
    """

    sets: tuple[int, ...]
    vocal: tuple[int, int]
    bass: tuple[int, int]
    registers: tuple[float, float]
    steps_per_quarter: int = 2

    def __post_init__(self) -> None:
        if not self.sets or len(set(self.sets)) < len(self.sets) or not all(0 <= s < 4096 for s in self.sets):
            raise SongError("expected distinct sets of pitch classes as masks from 0 to 4095, at least one")
        for name, (low, high) in {"vocal": self.vocal, "bass": self.bass}.items():
            if not PITCHES.start <= low <= high < PITCHES.stop:
                raise SongError(f"the {name}'s pitches go from {low} to {high}; expected a range of MIDI numbers")
        if not self.registers[0] <= self.registers[1]:
            raise SongError(f"the middle register begins at {self.registers[0]}, above the high one")
        if self.steps_per_quarter < 1:
            raise SongError(f"{self.steps_per_quarter} steps per quarter; expected 1 or more")

    @classmethod
    def build(cls, songs: Iterable[Song], sets: int = 95) -> SongTokens:
        """The vocabulary of the songs of a training split.

        Args:
            songs: all on the same grid, with a part `bass`.
            sets: how many of the most frequent sets get a class, silence included, which always has one.

        Raises:
            SongError: without songs, for different grids, or if nothing is sung or the bass is silent throughout.
        """
        songs = list(songs)
        grids = {song.steps_per_quarter for song in songs}
        if len(grids) != 1 or sets < 1:
            raise SongError(
                f"expected songs on one grid and a class or more, got the grids {sorted(grids)}, {sets} sets"
            )
        counts: Counter[int] = Counter()
        vocal: set[int] = set()
        bass: set[int] = set()
        means: list[float] = []
        for song in songs:
            counts.update(_masks(song).tolist())
            vocal.update(note.pitch for note in song.vocal)
            bass.update(note.pitch for note in song.parts.get("bass", ()))
            if song.vocal:
                means.append(mean_pitch(song))
        if not vocal or not bass:
            raise SongError(f"{len(songs)} songs without a single note of the {'bass' if vocal else 'vocal'}")
        del counts[0]
        # Of equally frequent sets the smaller mask comes first, so that the vocabulary does not depend on the order.
        frequent = sorted(counts, key=lambda mask: (-counts[mask], mask))[: sets - 1]
        low, high = np.quantile(means, [1 / 3, 2 / 3])
        return cls(
            sets=(0, *frequent),
            vocal=(min(vocal), max(vocal)),
            bass=(min(bass), max(bass)),
            registers=(float(low), float(high)),
            steps_per_quarter=grids.pop(),
        )

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many codes each stream has."""
        return (len(self.sets) + 1, _FIRST_PITCH + 2 * _width(self.vocal), _FIRST_PITCH + _width(self.bass))

    def encode(self, song: Song) -> NDArray[np.int64]:
        """(3, T) the codes of a song.

        Raises:
            SongError: for another grid, or a pitch outside the ranges.
        """
        if song.steps_per_quarter != self.steps_per_quarter:
            raise SongError(
                f"{song.name}: {song.steps_per_quarter} steps per quarter; expected {self.steps_per_quarter}"
            )
        codes = np.zeros((3, song.length), dtype=np.int64)
        classes = {mask: index for index, mask in enumerate(self.sets)}
        codes[0] = [classes.get(mask, len(self.sets)) for mask in _masks(song).tolist()]
        width = _width(self.vocal)
        for row, name, notes, pitches in (
            (codes[1], "vocal", song.vocal, self.vocal),
            (codes[2], "bass", song.parts.get("bass", ()), self.bass),
        ):
            for note in notes:
                if not pitches[0] <= note.pitch <= pitches[1]:
                    raise SongError(
                        f"{song.name}: the {name} has pitch {note.pitch} at step {note.start}; the vocabulary goes "
                        f"from {pitches[0]} to {pitches[1]}"
                    )
                row[note.start : note.stop] = HOLD
                goes_on = name == "vocal" and not note.begins
                row[note.start] = _FIRST_PITCH + note.pitch - pitches[0] + (width if goes_on else 0)
        return codes

    def decode(
        self,
        codes: ArrayLike | Sequence[ArrayLike],
        lyric: Sequence[Syllable] = (),
        name: str = "song",
        tempo: float = 90.0,
    ) -> Song:
        """The song of codes (3, T), whichever they are: a hold behind a rest, or behind nothing, is a rest.

        Args:
            codes: of the three streams.
            lyric: what was asked for; the song may begin fewer or more syllables.
            name: of the song.
            tempo: in quarters per minute.

        Returns:
            A song with the parts `bass` and, for what the mixed stream adds to it and the vocal, `harmony 0` to
            `harmony 11`, by pitch class.

        Raises:
            SongError: for streams of unequal length, no steps, or a code outside its stream's range.
        """
        arrays = self.arrays(self.check(codes, name)[None])
        vocal = _notes(arrays.vocal[0], arrays.vocal_onsets[0], arrays.syllable_onsets[0])
        parts = {"bass": _notes(arrays.bass[0], arrays.bass_onsets[0])}
        added = arrays.pitch_classes[0] & ~_sounding(arrays.vocal[0]) & ~_sounding(arrays.bass[0])
        for pitch_class in np.flatnonzero(added.any(axis=0)).tolist():
            pitch = _HARMONY_FROM + (pitch_class - _HARMONY_FROM) % 12
            there = added[:, pitch_class]
            begins = there & ~np.concatenate([[False], there[:-1]])
            parts[f"{HARMONY} {pitch_class}"] = _notes(np.where(there, pitch, -1), begins)
        return Song(
            length=len(arrays.steps[0]),
            vocal=vocal,
            parts=parts,
            lyric=tuple(lyric),
            steps_per_quarter=self.steps_per_quarter,
            tempo=tempo,
            name=name,
        )

    def check(self, codes: ArrayLike | Sequence[ArrayLike], name: str = "song") -> NDArray[np.int64]:
        """(3, T) the codes as an array.

        Raises:
            SongError: as `decode`.
        """
        try:
            # What is no sequence of rows is refused below, whatever its type.
            rows = [np.asarray(row) for row in codes]  # type: ignore[union-attr]
        except (TypeError, ValueError):
            raise SongError(f"{name}: expected whole numbers (3, T), got {type(codes).__name__}") from None
        if len(rows) != len(STREAMS) or any(row.ndim != 1 or (row.size and row.dtype.kind not in "iu") for row in rows):
            shapes = ", ".join(f"{row.dtype} {list(row.shape)}" for row in rows)
            raise SongError(f"{name}: expected whole numbers (3, T), one row for each of {STREAMS}; got {shapes}")
        if len({len(row) for row in rows}) != 1 or not len(rows[0]):
            lengths = ", ".join(f"{stream} {len(row)}" for stream, row in zip(STREAMS, rows, strict=True))
            raise SongError(f"{name}: expected streams of one length, at least a step; got {lengths}")
        for stream, row, size in zip(STREAMS, rows, self.sizes, strict=True):
            if len(bad := np.flatnonzero((row < 0) | (row >= size))):
                raise SongError(
                    f"{name}: the {stream} stream has code {row[bad[0]]} at step {bad[0]}; expected 0 to {size - 1}"
                )
        return np.stack(rows).astype(np.int64)

    def arrays(self, codes: NDArray[np.integer[Any]], lengths: ArrayLike | None = None) -> SongArrays:
        """What N songs do in every step, without building them.

        Args:
            codes: (N, 3, T); behind the end of a song they may be anything.
            lengths: (N) steps of each song, from 0 to T; T for all if None.

        Raises:
            SongError: for another shape, lengths outside it, or a code outside its stream's range.
        """
        codes = np.asarray(codes)
        if codes.ndim != 3 or codes.shape[1] != len(STREAMS) or codes.dtype.kind not in "iu":
            raise SongError(f"expected whole numbers (N, 3, T), got {codes.dtype} {list(codes.shape)}")
        count, _, width = codes.shape
        stop = np.full(count, width) if lengths is None else np.asarray(lengths)
        if stop.shape != (count,) or stop.dtype.kind not in "iu" or ((stop < 0) | (stop > width)).any():
            raise SongError(f"expected {count} lengths from 0 to {width}, got {stop.tolist()}")
        steps = np.arange(width) < stop[:, None]
        bad = ((codes < 0) | (codes >= np.array(self.sizes)[:, None])) & steps[:, None]
        if bad.any():
            song, stream, step = (int(i) for i in np.argwhere(bad)[0])
            raise SongError(
                f"song {song}: the {STREAMS[stream]} stream has code {codes[song, stream, step]} at step {step}; "
                f"expected 0 to {self.sizes[stream] - 1}"
            )
        # What lies behind the end of a song is a rest.
        padded: NDArray[np.int64] = np.where(steps[:, None], codes, REST).astype(np.int64)
        vocal_width = _width(self.vocal)
        vocal_code, vocal_onsets = _carried(padded[:, 1])
        bass_code, bass_onsets = _carried(padded[:, 2])
        begins = vocal_onsets & (padded[:, 1] < _FIRST_PITCH + vocal_width)
        vocal = np.where(vocal_code < 0, -1, self.vocal[0] + vocal_code % vocal_width)
        bass = np.where(bass_code < 0, -1, self.bass[0] + bass_code)
        table = (np.array([*self.sets, 0])[:, None] >> np.arange(12)) & 1 > 0
        known = padded[:, 0] < len(self.sets)
        classes = np.where(known[..., None], table[padded[:, 0]], _sounding(vocal) | _sounding(bass))
        return SongArrays(vocal, vocal_onsets, begins, bass, bass_onsets, classes & steps[..., None], steps)

    def register(self, song: Song) -> str:
        """`low`, `middle` or `high`, by the mean pitch of the voice; thirds of the training songs are in each.

        Raises:
            SongError: if nothing is sung.
        """
        mean = mean_pitch(song)
        return "low" if mean < self.registers[0] else "middle" if mean < self.registers[1] else "high"

    def fingerprint(self) -> str:
        """A hash of all that decides what codes mean."""
        return hashlib.sha256(json.dumps(self._content(), sort_keys=True).encode()).hexdigest()

    def _content(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "edition": _EDITION,
            "sets": list(self.sets),
            "vocal": list(self.vocal),
            "bass": list(self.bass),
            "registers": list(self.registers),
            "steps_per_quarter": self.steps_per_quarter,
        }

    def save(self, path: str | Path) -> None:
        """Write the vocabulary as JSON."""
        with atomic_path(Path(path)) as partial:
            partial.write_text(json.dumps(self._content()) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> SongTokens:
        """The vocabulary that `save` wrote.

        Raises:
            SongError: if there is no such file, or it is another one.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if (content["format"], content["edition"]) != (_FORMAT, _EDITION):
                raise SongError(f"{path}: expected {_FORMAT} of edition {_EDITION}")
            low, high = (float(mean) for mean in content["registers"])
            return cls(
                sets=tuple(int(mask) for mask in content["sets"]),
                vocal=_range(content["vocal"]),
                bass=_range(content["bass"]),
                registers=(low, high),
                steps_per_quarter=int(content["steps_per_quarter"]),
            )
        except OSError as error:
            raise SongError(f"{path}: cannot be read: {error.strerror}") from error
        except SongError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise SongError(f"{path}: no vocabulary of songs: {error!r}") from error


def mean_pitch(song: Song) -> float:
    """The voice's mean pitch over the time it sounds, MIDI number.

    Raises:
        SongError: if nothing is sung.
    """
    if not song.vocal:
        raise SongError(f"{song.name}: nothing is sung; expected a note of the voice")
    return sum(note.pitch * note.length for note in song.vocal) / sum(note.length for note in song.vocal)


def _width(pitches: tuple[int, int]) -> int:
    return pitches[1] - pitches[0] + 1


def _range(pitches: Sequence[Any]) -> tuple[int, int]:
    low, high = (int(pitch) for pitch in pitches)
    return low, high


def sounding_classes(song: Song) -> NDArray[np.bool_]:
    """(T, 12) which pitch classes sound in each step, in the voice and in all parts."""
    heard = np.zeros((song.length, 12), dtype=np.bool_)
    for notes in (song.vocal, *song.parts.values()):
        for note in notes:
            heard[note.start : note.stop, note.pitch % 12] = True
    return heard


def _masks(song: Song) -> NDArray[np.int64]:
    """(T) the set of pitch classes that sound in each step."""
    return sounding_classes(song) @ (1 << np.arange(12))


def _sounding(pitches: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(…, 12) the pitch class of each pitch, none for -1."""
    return (pitches[..., None] % 12 == np.arange(12)) & (pitches[..., None] >= 0)


def _carried(codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(N, T) the code of the note that sounds, counted from the first pitch, negative for none; where notes begin."""
    begun = np.where(codes == HOLD, -1, np.arange(codes.shape[1]))
    # Before anything has begun this is step 0, which then is a hold itself.
    source = np.maximum(np.maximum.accumulate(begun, axis=1), 0)
    return np.take_along_axis(codes, source, axis=1) - _FIRST_PITCH, codes >= _FIRST_PITCH


def _notes(
    pitches: NDArray[np.int64], onsets: NDArray[np.bool_], begins: NDArray[np.bool_] | None = None
) -> tuple[Note, ...]:
    """The notes of one part: a note lasts until the next one begins, or a rest."""
    changes = np.flatnonzero(onsets | (pitches < 0)).tolist()
    return tuple(
        Note(start, stop - start, int(pitches[start]), begins=begins is not None and bool(begins[start]))
        for start, stop in pairwise([*changes, len(pitches)])
        if pitches[start] >= 0
    )
