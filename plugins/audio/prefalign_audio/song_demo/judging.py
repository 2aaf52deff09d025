"""What is measured of songs: the three criteria, and what would tell that a gain was bought elsewhere.

Axes: N songs, T steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from prefalign.interfaces import Prompt, Response
from prefalign_audio.songs.measures import (
    lyric_errors,
    mode_agreement,
    phoneme_counts,
    prompt_agreement,
    register_agreement,
    repetition_share,
)
from prefalign_audio.songs.rewards import stacked
from prefalign_audio.songs.tokens import SongTokens
from prefalign_audio.streams.codec import CODES, UNFINISHED
from prefalign_audio.streams.policy import StreamPolicy

#: (codes (N, 3, T), lengths (N,)) to (N,) how musical songs are.
Scorer = Callable[[np.ndarray, np.ndarray], np.ndarray]

#: The criteria, and which way is better.
AXES = {"lyric_error": "min", "prompt": "max", "musicality": "max"}

Measured = dict[str, np.ndarray]


def measure(songs: Sequence[Response], prompts: Sequence[Prompt], tokens: SongTokens, scorer: Scorer) -> Measured:
    """(N,) of everything that is measured.

    Args:
        songs: with their codes.
        prompts: that they answer.
        tokens: vocabulary of the codes.
        scorer: says how musical they are.
    """
    codes, lengths = stacked([song.arrays[CODES] for song in songs])
    asked = [prompt.conditions for prompt in prompts]
    arrays = tokens.arrays(codes, lengths)
    errors = lyric_errors(arrays.syllable_onsets, phoneme_counts(asked))
    return {
        "lyric": -errors.phoneme_rate,
        "lyric_error": errors.phoneme_rate,
        "phoneme_errors": errors.count,
        "onset_error": errors.onset_rate,
        "prompt": prompt_agreement(arrays, tokens.registers, asked),
        "mode": mode_agreement(arrays.pitch_classes, asked),
        "register": register_agreement(arrays.vocal, tokens.registers, asked),
        "musicality": scorer(codes, lengths),
        "length": lengths.astype(float),
        "ended": np.array([UNFINISHED not in song.arrays for song in songs], dtype=float),
        "repetition": np.nan_to_num(repetition_share(codes, lengths)),
    }


def sample(policy: StreamPolicy, prompts: Sequence[Prompt], n: int, seed: int) -> list[list[Response]]:
    """`n` songs to each prompt. Equal seeds give equal random numbers, whatever the policy."""
    return policy.sample(prompts, n, generator=torch.Generator().manual_seed(seed))


def means(measured: Measured) -> dict[str, float]:
    """The mean of everything that is measured."""
    return {name: float(np.nanmean(values)) for name, values in measured.items()}


def flat(groups: Sequence[Sequence[Any]]) -> list[Any]:
    """All members of the groups, in order."""
    return [member for group in groups for member in group]
