"""Rewards of symbolic songs: whether they sing their lyric, keep to mode and register, to a key, and how musical they
are. They judge many songs in one call.

Axes: N songs, 3 streams as in `prefalign_audio.songs.tokens`, T steps, C criteria.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prefalign.interfaces import Batch, PrefalignError, PreferenceRecord, Relations, Reward, RewardOutput
from prefalign_audio.songs.keys import common_pitch_share, key_by_spiral, scale_share
from prefalign_audio.songs.measures import (
    Conditions,
    check_conditions,
    class_counts,
    lyric_errors,
    note_counts,
    phoneme_counts,
    prompt_agreement,
)
from prefalign_audio.songs.scorer import SongScorer
from prefalign_audio.songs.tokens import REST, SongTokens
from prefalign_audio.streams.codec import CODES

# InferAlign's weights of its two parts.
_SCALE, _VARIETY = 2.5, 2.5


@dataclass(frozen=True)
class SongExample:
    """One encoded record: codes (3, T) and conditions of every response."""

    record: PreferenceRecord
    codes: list[NDArray[np.int64]]
    asked: list[Conditions]


class SongCodec:
    """Reads songs as an array `codes` (3, T), and what is asked of them as their prompts' `conditions`.

    Args:
        tokens: vocabulary of the codes.
    """

    def __init__(self, tokens: SongTokens) -> None:
        self.tokens = tokens

    def fingerprint(self) -> str:
        """Hash of the vocabulary."""
        return hashlib.sha256(f"{type(self).__name__} {self.tokens.fingerprint()}".encode()).hexdigest()

    def encode(self, record: PreferenceRecord) -> SongExample:
        """One record as codes and conditions.

        Raises:
            RecordError: for responses without codes, or with codes outside of the vocabulary, and for conditions that
                are none.
        """
        asked: list[Conditions] = [record.context(index).conditions for index in range(len(record.responses))]
        try:
            for conditions in asked[:1] if all(one is asked[0] for one in asked) else asked:
                check_conditions(conditions)
        except PrefalignError as error:
            raise record.error(str(error), "prompt.conditions") from error
        codes = []
        for index, response in enumerate(record.responses):
            if CODES not in response.arrays:
                raise record.error(f"expected a song as an array {CODES!r} of shape (3, steps)", f"responses[{index}]")
            try:
                codes.append(self.tokens.check(response.arrays[CODES]))
            except PrefalignError as error:
                raise record.error(str(error), f"responses[{index}].arrays.{CODES}") from error
        return SongExample(record, codes, asked)

    def collate(self, examples: Sequence[SongExample], needs: frozenset[str] = frozenset()) -> Batch:
        """One batch: `codes` (N, 3, T) with rests behind a song's end, `lengths` (N,), and `asked`, N conditions."""
        songs = [codes for example in examples for codes in example.codes]
        asked = [one for example in examples for one in example.asked]
        codes, lengths = stacked(songs)
        keys = [
            hashlib.sha256(song.tobytes() + json.dumps(dict(one), sort_keys=True).encode()).hexdigest()
            for song, one in zip(songs, asked, strict=True)
        ]
        inputs = {"codes": torch.from_numpy(codes), "lengths": torch.from_numpy(lengths), "asked": asked}
        return Batch(inputs, Relations.from_records([example.record for example in examples]), keys)


def stacked(songs: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Codes (N, 3, T) with rests behind a song's end, and lengths (N,), of N songs (3, T)."""
    lengths = np.array([song.shape[1] for song in songs], dtype=np.int64)
    codes = np.full((len(songs), 3, int(lengths.max(initial=0))), REST, dtype=np.int64)
    for row, song in zip(codes, songs, strict=True):
        row[:, : song.shape[1]] = song
    return codes, lengths


class SongReward(Reward):
    """Base of the rewards of songs.

    Args:
        tokens: the vocabulary of the codes, or the file that holds it.
    """

    codec: SongCodec

    def __init__(self, tokens: SongTokens | str) -> None:
        super().__init__()
        self.tokens = SongTokens.load(tokens) if isinstance(tokens, str) else tokens
        self.codec = SongCodec(self.tokens)

    @abstractmethod
    def judge(self, codes: Tensor, lengths: Tensor, asked: Sequence[Conditions]) -> Tensor:
        """(N, C) of songs and what was asked of them; NaN for what is not judged, since it was not asked for.

        Args:
            codes: (N, 3, T) int64.
            lengths: (N,) steps of each song, at least 1.
            asked: conditions of the N prompts.
        """

    def forward(self, batch: Batch) -> RewardOutput:
        """Rewards of the batch's N rows, (N, C); a row is valid if all criteria judge it."""
        inputs: dict[str, Any] = batch.inputs
        found = self.judge(inputs["codes"], inputs["lengths"], inputs["asked"])
        valid = ~found.detach().isnan().any(dim=1)
        return RewardOutput(found.masked_fill(~valid.unsqueeze(1), 0.0), valid)


class LyricReward(SongReward):
    """Minus the errors of the lyric, by three counts: `phoneme_rate` and `onset_rate` are shares of what is asked, and
    `phonemes` is the number of phonemes missing or added, which LeVo's first strategy compares (arXiv 2506.07520,
    `prefalign_audio.builders.gaps`). See `prefalign_audio.songs.measures.LyricErrors`.
    """

    criteria = ("phoneme_rate", "onset_rate", "phonemes")

    def judge(self, codes: Tensor, lengths: Tensor, asked: Sequence[Conditions]) -> Tensor:
        """(N, 3), at most 0; NaN where no lyric is asked for."""
        arrays = self.tokens.arrays(codes.cpu().numpy(), lengths.cpu().numpy())
        errors = lyric_errors(arrays.syllable_onsets, phoneme_counts(asked))
        return -_columns(codes, errors.phoneme_rate, errors.onset_rate, errors.count)


class PromptReward(SongReward):
    """Whether a song is in the mode and the register that are asked for, in [0, 1]; see
    `prefalign_audio.songs.measures.prompt_agreement`.
    """

    criteria = ("prompt",)

    def judge(self, codes: Tensor, lengths: Tensor, asked: Sequence[Conditions]) -> Tensor:
        """(N, 1), the mean of what is asked for: 0, 1/2 or 1; NaN where neither is."""
        arrays = self.tokens.arrays(codes.cpu().numpy(), lengths.cpu().numpy())
        return _columns(codes, prompt_agreement(arrays, self.tokens.registers, asked))


class KeyReward(SongReward):
    """InferAlign's reward of notes that keep to a key and do not stay on one pitch, at most 5: 2.5 · share of the notes
    in the scale of the song's key + 2.5 · (1 - share of the most common pitch).

    The key is that of the spiral array for what sounds in the first half. The notes are those of voice and bass, once
    each, since of the rest only pitch classes are known. InferAlign adds the similarity of sound and caption by CLAP:
    `core/weighted` adds any reward.
    """

    criteria = ("key", "scale_share", "pitch_variety")

    def judge(self, codes: Tensor, lengths: Tensor, asked: Sequence[Conditions]) -> Tensor:
        """(N, 3): the reward, in [0, 5], and its two shares, in [0, 1].

        Silence has 0 of all. A song whose first half is silent is in no key, and has no share of its notes in one.
        """
        steps = lengths.cpu().numpy()
        arrays = self.tokens.arrays(codes.cpu().numpy(), steps)
        half = np.arange(codes.shape[2]) < np.maximum(steps // 2, 1)[:, None]
        keys = key_by_spiral((arrays.pitch_classes & half[..., None]).sum(axis=1))
        pitches = note_counts(arrays)
        share = np.nan_to_num(scale_share(class_counts(pitches), keys))
        variety = np.nan_to_num(1 - common_pitch_share(pitches))
        return _columns(codes, _SCALE * share + _VARIETY * variety, share, variety)


class MusicalityReward(SongReward):
    """What a scorer of musicality says, in nats.

    It can be trained as any reward, on pairs of songs: `core/reward_learning` with `core/bradley_terry`. Pairs of real
    and spoiled songs are made, and learnt from without a data set, by `prefalign_audio.songs.musicality`.

    Args:
        scorer: a trained scorer, or the folder that `save_pretrained` wrote.
    """

    criteria = ("musicality",)

    def __init__(self, scorer: SongScorer | str) -> None:
        scorer = SongScorer.from_pretrained(scorer) if isinstance(scorer, str) else scorer
        super().__init__(scorer.tokens)
        self.scorer = scorer

    def judge(self, codes: Tensor, lengths: Tensor, asked: Sequence[Conditions]) -> Tensor:
        """(N, 1) nats; what is asked does not matter."""
        found: Tensor = self.scorer(codes, lengths).unsqueeze(1)
        return found

    def save_pretrained(self, folder: Path) -> None:
        """Write the scorer."""
        self.scorer.save_pretrained(folder)


def _columns(codes: Tensor, *criteria: NDArray[np.float64]) -> Tensor:
    """(N, C) float32 on the device of the codes."""
    return torch.from_numpy(np.stack(criteria, axis=1)).to(codes.device, torch.float32)
