"""Ways to spoil songs, so that a judge of musicality has something worse than the real ones to learn from.

Axes: N songs, 3 streams as in `prefalign_audio.songs.tokens`, T steps. Each way is a function of codes (N, 3, T), their
lengths, the vocabulary and a generator, and gives spoiled copies (N, 3, T) of the same lengths. What lies behind a
song's end is left as it is. A copy may equal its song by chance, and does where there is nothing to spoil.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prefalign.interfaces import unknown_name
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.tokens import HOLD, REST, SongTokens

Codes = NDArray[np.int64]
Corruption = Callable[[Codes, Codes, SongTokens, np.random.Generator], Codes]

# Codes of pitches follow those of rest and hold.
_FIRST_PITCH = HOLD + 1
_BAR = 4  # steps that stay together: half a bar of eighths
_WRONG = (0.05, 0.4)  # share of notes that become others, drawn for each song


def shuffled_bars(codes: Codes, lengths: Codes, tokens: SongTokens, rng: np.random.Generator) -> Codes:
    """Half bars in another order, all streams alike."""
    count, _, width = codes.shape
    bars = rng.random((count, -(-width // _BAR))).repeat(_BAR, axis=1)[:, :width]
    return _reordered(codes, np.argsort(_last(bars, lengths), axis=1, kind="stable"))


def broken_rhythm(codes: Codes, lengths: Codes, tokens: SongTokens, rng: np.random.Generator) -> Codes:
    """The steps of the voice in another order; the others go on as before."""
    order = np.argsort(_last(rng.random((len(codes), codes.shape[2])), lengths), axis=1, kind="stable")
    return _with(codes, 1, _reordered(codes[:, 1:2], order)[:, 0])


def transposed_bass(codes: Codes, lengths: Codes, tokens: SongTokens, rng: np.random.Generator) -> Codes:
    """The bass one to six semitones higher or lower; what leaves its range comes in on the other side."""
    width = tokens.bass[1] - tokens.bass[0] + 1
    shift = (rng.integers(1, 7, len(codes)) * rng.choice((-1, 1), len(codes)))[:, None]
    bass = codes[:, 2]
    moved = _FIRST_PITCH + (bass - _FIRST_PITCH + shift) % width
    return _with(codes, 2, np.where((bass >= _FIRST_PITCH) & _inside(codes, lengths), moved, bass))


def random_notes(codes: Codes, lengths: Codes, tokens: SongTokens, rng: np.random.Generator) -> Codes:
    """One of twenty to eight of twenty notes of voice and bass on any pitch, as many steps with any harmony."""
    share = rng.uniform(*_WRONG, len(codes))[:, None, None]
    wrong = (rng.random(codes.shape) < share) & _inside(codes, lengths)[:, None]
    mixed = np.where(wrong[:, 0], rng.integers(0, tokens.sizes[0], codes[:, 0].shape), codes[:, 0])
    parts = []
    for row, wrongly, (low, high) in (
        (codes[:, 1], wrong[:, 1], tokens.vocal),
        (codes[:, 2], wrong[:, 2], tokens.bass),
    ):
        width = high - low + 1
        # A note that goes on with a syllable still does: it stays in its half of the codes.
        half = (row - _FIRST_PITCH) // width
        other = _FIRST_PITCH + half * width + rng.integers(0, width, row.shape)
        parts.append(np.where(wrongly & (row >= _FIRST_PITCH), other, row))
    return np.stack([mixed, *parts], axis=1)


def foreign_voice(codes: Codes, lengths: Codes, tokens: SongTokens, rng: np.random.Generator) -> Codes:
    """The voice of another of the N songs; where that one has ended it rests."""
    count = len(codes)
    order = rng.permutation(count)
    # Each takes the voice of the song behind it in a random circle, so that none keeps its own.
    other = np.empty(count, dtype=np.int64)
    other[order] = np.roll(order, -1)
    voice = np.where(_inside(codes, lengths[other]), codes[other, 1], REST)
    return _with(codes, 1, np.where(_inside(codes, lengths), voice, codes[:, 1]))


CORRUPTIONS: Mapping[str, Corruption] = {
    "shuffled_bars": shuffled_bars,
    "broken_rhythm": broken_rhythm,
    "transposed_bass": transposed_bass,
    "random_notes": random_notes,
    "foreign_voice": foreign_voice,
}
"""The ways by name."""


def corrupt(
    codes: Codes,
    lengths: Codes,
    tokens: SongTokens,
    rng: np.random.Generator,
    kinds: Sequence[str] = tuple(CORRUPTIONS),
) -> tuple[Codes, NDArray[np.int64]]:
    """Each song spoiled in one of some ways, drawn for each.

    Args:
        codes: (N, 3, T).
        lengths: (N,) steps of each song.
        tokens: vocabulary of the codes.
        rng: draws the ways, and what they draw.
        kinds: names of the ways, in `CORRUPTIONS`.

    Returns:
        The codes (N, 3, T), and (N,) which of `kinds` each song met.

    Raises:
        PrefalignError: for an unknown kind; SongError for none, or for codes that are none.
    """
    for kind in kinds:
        if kind not in CORRUPTIONS:
            raise unknown_name("corruption", kind, CORRUPTIONS)
    if not kinds:
        raise SongError(f"expected kinds of corruption, one of {', '.join(CORRUPTIONS)} at least")
    if codes.ndim != 3 or codes.shape[1] != 3 or lengths.shape != codes.shape[:1]:
        raise SongError(f"expected codes (N, 3, T) and lengths (N,), got {list(codes.shape)} and {list(lengths.shape)}")
    drawn = rng.integers(0, len(kinds), len(codes))
    spoiled = codes.copy()
    for number, kind in enumerate(kinds):
        chosen = np.flatnonzero(drawn == number)
        spoiled[chosen] = CORRUPTIONS[kind](codes[chosen], lengths[chosen], tokens, rng)
    return spoiled, drawn


def _inside(codes: Codes, lengths: Codes) -> NDArray[np.bool_]:
    """(N, T) the steps that belong to a song."""
    return np.arange(codes.shape[2]) < lengths[:, None]


def _last(keys: NDArray[np.float64], lengths: Codes) -> NDArray[np.float64]:
    """The keys (N, T), in [0, 1), with the steps behind a song's end after all others."""
    return np.where(np.arange(keys.shape[1]) < lengths[:, None], keys, 1.0)


def _reordered(codes: Codes, order: NDArray[np.int64]) -> Codes:
    return np.take_along_axis(codes, order[:, None], axis=2)


def _with(codes: Codes, stream: int, row: Codes) -> Codes:
    changed = codes.copy()
    changed[:, stream] = row
    return changed
