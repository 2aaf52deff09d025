"""Whether symbolic songs sing what is asked of them, as metrics that sum over batches and processes.

Axes: N songs, 3 streams as in `prefalign_audio.songs.tokens`, T steps.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from prefalign_audio.songs.keys import common_pitch_share, key_by_profile, scale_share
from prefalign_audio.songs.measures import (
    Conditions,
    class_counts,
    lyric_errors,
    mode_agreement,
    note_counts,
    phoneme_counts,
    register_agreement,
)
from prefalign_audio.songs.tokens import SongArrays, SongTokens


class SongMetric(Metric):
    """Base of the metrics of songs: means over the songs of which something is asked.

    `compute()` gives each of `names`, NaN if no song counted, and `songs`, how many there were in all.

    Args:
        tokens: vocabulary of the codes, or the file that holds it.
        kwargs: of torchmetrics' `Metric`.

    Attributes:
        names: of what is measured.
    """

    is_differentiable = False
    full_state_update = False
    names: ClassVar[tuple[str, ...]]

    total: Tensor
    counted: Tensor
    songs: Tensor

    def __init__(self, tokens: SongTokens | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tokens = SongTokens.load(tokens) if isinstance(tokens, str) else tokens
        self.add_state("total", torch.zeros(len(self.names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counted", torch.zeros(len(self.names), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("songs", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @abstractmethod
    def values(self, songs: SongArrays, asked: Sequence[Conditions]) -> Sequence[NDArray[np.float64]]:
        """For each of `names` (N,) numbers, NaN for a song that does not count.

        Args:
            songs: what they do in every step.
            asked: conditions of the N prompts.
        """

    def update(self, codes: Tensor, lengths: Tensor, asked: Sequence[Conditions]) -> None:
        """Add N songs.

        Args:
            codes: (N, 3, T) integers; behind the end of a song they may be anything.
            lengths: (N,) steps of each song.
            asked: conditions of the N prompts.

        Raises:
            SongError: for codes outside of the vocabulary, or conditions of another number of songs.
            PrefalignError: for conditions that are none.
        """
        arrays = self.tokens.arrays(codes.cpu().numpy(), lengths.cpu().numpy())
        found = torch.from_numpy(np.stack(self.values(arrays, asked))).to(self.total.device)
        self.total += found.nansum(dim=1)
        self.counted += (~found.isnan()).sum(dim=1)
        self.songs += len(lengths)

    def compute(self) -> dict[str, Tensor]:
        """The scalars that the class names."""
        means = (self.total / self.counted).float()
        return {**dict(zip(self.names, means.unbind(), strict=True)), "songs": self.songs.clone()}


class LyricError(SongMetric):
    """Errors of the lyric as if all that is sung were understood: `lyric_phoneme_error` and `lyric_onset_error`.

    The first is the phoneme error rate of missing and added syllables, the second |sung - asked| / asked syllables;
    means over songs. See `prefalign_audio.songs.measures.LyricErrors`.
    """

    higher_is_better = False
    names = ("lyric_phoneme_error", "lyric_onset_error")

    def values(self, songs: SongArrays, asked: Sequence[Conditions]) -> Sequence[NDArray[np.float64]]:
        """Both rates; songs without a lyric do not count."""
        errors = lyric_errors(songs.syllable_onsets, phoneme_counts(asked))
        return errors.phoneme_rate, errors.onset_rate


class KeyAgreement(SongMetric):
    """`key_agreement`: share of the songs that are in the mode asked for, by Krumhansl and Kessler's profiles."""

    higher_is_better = True
    names = ("key_agreement",)

    def values(self, songs: SongArrays, asked: Sequence[Conditions]) -> Sequence[NDArray[np.float64]]:
        """1 or 0; songs of which no mode is asked do not count."""
        return (mode_agreement(songs.pitch_classes, asked),)


class RegisterAgreement(SongMetric):
    """`register_agreement`: share of the songs whose voice is in the register asked for."""

    higher_is_better = True
    names = ("register_agreement",)

    def values(self, songs: SongArrays, asked: Sequence[Conditions]) -> Sequence[NDArray[np.float64]]:
        """1 or 0; songs of which no register is asked do not count."""
        return (register_agreement(songs.vocal, self.tokens.registers, asked),)


class ScaleShare(SongMetric):
    """`scale_share`: share of the notes of voice and bass in the scale of the song's key, which is that of the profile
    that fits all that sounds best; and `common_pitch_share`: share of the most common pitch among them. Means over the
    songs that have notes, whatever is asked."""

    higher_is_better = None
    names = ("scale_share", "common_pitch_share")

    def values(self, songs: SongArrays, asked: Sequence[Conditions]) -> Sequence[NDArray[np.float64]]:
        """Both shares, in [0, 1]."""
        pitches = note_counts(songs)
        keys = key_by_profile(songs.pitch_classes.sum(axis=1))
        return scale_share(class_counts(pitches), keys), common_pitch_share(pitches)
