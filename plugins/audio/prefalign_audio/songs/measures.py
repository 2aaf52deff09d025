"""Whether songs sing what is asked of them: their lyric, their mode, their register. And how much they repeat.

Axes: N songs, T steps, S syllables. What is asked is a prompt's `conditions`: `syllables`, a list of mappings with
`phonemes`; `mode`, major or minor; `register`, low, middle or high. What a prompt does not ask for is not judged: NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefalign.interfaces import unknown_name
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.keys import MODES, NO_KEY, key_by_profile
from prefalign_audio.songs.tokens import SongArrays

REGISTERS = ("low", "middle", "high")

Conditions = Mapping[str, Any]


@dataclass(frozen=True)
class LyricErrors:
    """How N songs sing their lyrics. The n-th note that begins a syllable sings the n-th syllable asked for.

    So a syllable for which no note is left is missing, with all its phonemes, and a note beyond the lyric adds a
    syllable. Which vowel it is sung on is not asked; it counts as many phonemes as the lyric's syllables have in the
    mean, so that a syllable too many is as bad as one too few, and the error is |sung - asked| / asked if all syllables
    are equally long.

    Attributes:
        asked, sung: (N,) syllables.
        phonemes: (N,) asked for.
        deleted, inserted: (N,) phonemes; one of them is 0.
    """

    asked: NDArray[np.int64]
    sung: NDArray[np.int64]
    phonemes: NDArray[np.int64]
    deleted: NDArray[np.float64]
    inserted: NDArray[np.float64]

    @property
    def count(self) -> NDArray[np.float64]:
        """(N,) phonemes missing and added; NaN where no lyric is asked for."""
        return np.where(self.asked > 0, self.deleted + self.inserted, np.nan)

    @property
    def phoneme_rate(self) -> NDArray[np.float64]:
        """(N,) `count` per phoneme asked for: the phoneme error rate if nothing is sung wrong."""
        return self.count / np.maximum(self.phonemes, 1)

    @property
    def onset_rate(self) -> NDArray[np.float64]:
        """(N,) |sung - asked| / asked; NaN where no lyric is asked for."""
        return np.where(self.asked > 0, np.abs(self.sung - self.asked) / np.maximum(self.asked, 1), np.nan)


def check_conditions(conditions: Conditions) -> None:
    """Check what is asked of a song; other conditions than these may be anything.

    Raises:
        PrefalignError: for syllables without phonemes, and for a mode or register that is none.
    """
    phoneme_counts([conditions])
    _wanted([conditions], "mode", MODES)
    _wanted([conditions], "register", REGISTERS)


def phoneme_counts(asked: Sequence[Conditions]) -> NDArray[np.int64]:
    """(N, S) how many phonemes each syllable asked for has, 0 behind the end of a lyric.

    Raises:
        SongError: for a syllable without phonemes.
    """
    lyrics = [[_phonemes(syllable, n) for n, syllable in enumerate(one.get("syllables") or ())] for one in asked]
    counts = np.zeros((len(lyrics), max(map(len, lyrics), default=0)), dtype=np.int64)
    for row, lyric in zip(counts, lyrics, strict=True):
        row[: len(lyric)] = lyric
    return counts


def _phonemes(syllable: Any, number: int) -> int:
    phonemes = syllable.get("phonemes") if isinstance(syllable, Mapping) else None
    if isinstance(phonemes, str) or not isinstance(phonemes, Sequence) or not phonemes:
        raise SongError(f"syllable {number}: expected a mapping with its 'phonemes', a list, got {syllable!r}")
    return len(phonemes)


def lyric_errors(syllable_onsets: ArrayLike, phonemes: ArrayLike) -> LyricErrors:
    """How N songs sing what is asked of them.

    Args:
        syllable_onsets: (N, T) bool, a syllable begins in the step.
        phonemes: (N, S) phonemes of each syllable asked for, 0 behind the end of a lyric; see `phoneme_counts`.

    Raises:
        SongError: for arrays that do not fit each other.
    """
    onsets, sizes = np.asarray(syllable_onsets, dtype=bool), np.asarray(phonemes)
    if onsets.ndim != 2 or sizes.ndim != 2 or len(onsets) != len(sizes):
        raise SongError(
            f"expected onsets (N, T) and phonemes (N, S) of the same songs, got {list(onsets.shape)} and "
            f"{list(sizes.shape)}"
        )
    there = sizes > 0
    if (there[:, 1:] & ~there[:, :-1]).any():
        raise SongError("a syllable without phonemes inside a lyric; expected at least one of each")
    sung, asked, total = onsets.sum(axis=1), there.sum(axis=1), sizes.sum(axis=1)
    reached = np.arange(sizes.shape[1]) < sung[:, None]
    deleted = np.where(reached, 0, sizes).sum(axis=1).astype(np.float64)
    inserted = np.maximum(sung - asked, 0) * total / np.maximum(asked, 1)
    return LyricErrors(asked, sung, total, deleted, inserted)


def mode_agreement(pitch_classes: ArrayLike, asked: Sequence[Conditions]) -> NDArray[np.float64]:
    """(N,) 1 where a song is in the mode asked for, 0 where it is in the other or in no key, NaN where none is asked.

    Its mode is that of the key whose Krumhansl-Kessler profile fits it best.

    Args:
        pitch_classes: (N, 12) how long each sounds, or (N, T, 12) bool, whether it sounds in a step.
        asked: conditions of the N prompts.

    Raises:
        PrefalignError: for a mode that is none; SongError for weights that are none.
    """
    sounding = np.asarray(pitch_classes)
    keys = key_by_profile(sounding.sum(axis=1) if sounding.ndim == 3 else sounding)
    found = np.where(keys == NO_KEY, -1, keys // 12)
    return _agreement(found, _wanted(asked, "mode", MODES))


def register_agreement(
    pitches: ArrayLike, thresholds: tuple[float, float], asked: Sequence[Conditions]
) -> NDArray[np.float64]:
    """(N,) 1 where the voice is in the register asked for, 0 where it is in another or silent, NaN where none is asked.

    Args:
        pitches: (N, T) MIDI number that the voice sounds, -1 where it rests.
        thresholds: mean pitches at which the middle and the high register begin (`SongTokens.registers`).
        asked: conditions of the N prompts.

    Raises:
        PrefalignError: for a register that is none.
    """
    means = mean_pitches(pitches)
    found = np.where(np.isnan(means), -1, np.searchsorted(thresholds, means, side="right"))
    return _agreement(found, _wanted(asked, "register", REGISTERS))


def mean_pitches(pitches: ArrayLike) -> NDArray[np.float64]:
    """(N,) mean of the pitches (N, T) over the steps in which the voice sounds; NaN where it never does."""
    found = np.asarray(pitches)
    sounds = found >= 0
    count = sounds.sum(axis=1)
    total = np.where(sounds, found, 0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(found), np.nan), where=count > 0)


def prompt_agreement(
    songs: SongArrays, thresholds: tuple[float, float], asked: Sequence[Conditions]
) -> NDArray[np.float64]:
    """(N,) in [0, 1], the mean of mode and register agreement, or the one that is asked for; NaN where neither is.

    Raises:
        PrefalignError: for a mode or register that is none.
    """
    both = np.stack(
        [mode_agreement(songs.pitch_classes, asked), register_agreement(songs.vocal, thresholds, asked)], axis=1
    )
    judged = ~np.isnan(both)
    count = judged.sum(axis=1)
    total = np.where(judged, both, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(both), np.nan), where=count > 0)


def note_counts(songs: SongArrays) -> NDArray[np.int64]:
    """(N, 128) how many notes of voice and bass have each pitch. What else sounds is known by pitch class only."""
    counts = np.zeros((len(songs.vocal), 128), dtype=np.int64)
    for pitches, onsets in ((songs.vocal, songs.vocal_onsets), (songs.bass, songs.bass_onsets)):
        song, step = np.nonzero(onsets)
        np.add.at(counts, (song, pitches[song, step]), 1)
    return counts


def class_counts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, 12) notes of each pitch class, of counts (N, 128) by pitch."""
    # 128 pitches are ten octaves and eight more; eleven octaves hold them.
    return np.pad(counts, ((0, 0), (0, 4))).reshape(len(counts), 11, 12).sum(axis=1)


def repetition_share(codes: ArrayLike, lengths: ArrayLike, width: int = 4) -> NDArray[np.float64]:
    """(N,) share of the windows of some steps that stood in the song before, in [0, 1]; NaN for songs without a window.

    A guard-rail: a song that has found what its judge likes may repeat it.

    Args:
        codes: (N, K, T) of K streams.
        lengths: (N,) steps of each song.
        width: of a window, in steps, at least 1.
    """
    found, stop = np.asarray(codes), np.asarray(lengths)
    count = np.maximum(stop - width + 1, 0)
    if found.shape[2] < width:
        return np.full(len(found), np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(found, width, axis=2)  # (N, K, W, width)
    flat = np.moveaxis(windows, 2, 1).reshape(len(found), windows.shape[2], -1)
    same = (flat[:, :, None] == flat[:, None]).all(axis=3)
    earlier = np.tril(np.ones(same.shape[1:], dtype=bool), -1)
    repeated = (same & earlier).any(axis=2) & (np.arange(same.shape[1]) < count[:, None])
    return np.divide(repeated.sum(axis=1), count, out=np.full(len(found), np.nan), where=count > 0)


def _wanted(asked: Sequence[Conditions], name: str, values: Sequence[str]) -> NDArray[np.int64]:
    wanted = np.full(len(asked), -1)
    for index, conditions in enumerate(asked):
        if (value := conditions.get(name)) is not None:
            if value not in values:
                raise unknown_name(name, str(value), values)
            wanted[index] = values.index(value)
    return wanted


def _agreement(found: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.float64]:
    if len(found) != len(wanted):
        raise SongError(f"expected conditions for each of {len(found)} songs, got {len(wanted)}")
    return np.where(wanted < 0, np.nan, (found == wanted).astype(np.float64))
