"""A judge of musicality, learnt from real songs against spoiled and sampled ones (after LeVo, arXiv 2506.07520).

LeVo learns its judge from rankings by people, of which there are none here: that a real phrase is better than the same
one spoiled, or than one that a model wrote, stands in for them.

Axes: N songs, 3 streams as in `prefalign_audio.songs.tokens`, T steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from prefalign.functional.reward_modelling import bradley_terry
from prefalign_audio.songs.corruptions import CORRUPTIONS, corrupt
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.scorer import SongScorer
from prefalign_audio.songs.tokens import REST, SongTokens

Songs = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Codes (N, 3, T) and lengths (N,)."""

Score = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]
"""Codes (N, 3, T) and lengths (N,) to how musical the songs are (N,), in nats."""

SAMPLED = "sampled"
"""Name of the worse songs that a model wrote, beside those of `CORRUPTIONS`."""

_SAMPLED_SHARE = 1 / 3  # of the comparisons, where there are sampled songs
_HELD_OUT = 10  # one song of so many tests, and is not trained on


def train_musicality(
    real: Songs,
    tokens: SongTokens,
    *,
    seed: int,
    architecture: str = "convolution",
    sampled: Songs | None = None,
    steps: int = 300,
    batch: int = 64,
) -> SongScorer:
    """Fit a judge by Bradley and Terry's loss: real songs over the same songs spoiled, and over sampled ones.

    Every tenth song, of the real and of the sampled ones, is held out, and `accuracy` is measured on it.

    Args:
        real: codes (N, 3, T) and lengths (N,) of at least 20 songs.
        tokens: vocabulary of the codes.
        seed: of weights, batches and corruptions.
        architecture: one of `prefalign_audio.songs.scorer.ARCHITECTURES`.
        sampled: songs that a model wrote, each of which counts as worse than any real one; none by default.
        steps: of AdamW, with the rate 2e-3 falling to 0 along a cosine.
        batch: comparisons a step.

    Raises:
        PrefalignError: for an unknown architecture.
        SongError: for too few songs, or codes that are none.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        scorer = SongScorer(tokens, architecture)
    width = max(songs[0].shape[2] for songs in (real, sampled) if songs is not None)
    known, held = _parted(real, "real", width, scorer)
    wrote, held_wrote = (None, None) if sampled is None else _parted(sampled, SAMPLED, width, scorer)
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(scorer.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        better = _drawn(known, rng, batch)
        worse = _worse(better, wrote, tokens, rng)
        codes, lengths = (torch.from_numpy(np.concatenate(pair)) for pair in zip(better, worse, strict=True))
        good, bad = scorer(codes, lengths).chunk(2)
        # A song that was spoiled into itself has the difference 0 whatever the weights: nothing is learnt of it.
        loss = bradley_terry(good - bad).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    scorer.eval()
    scorer.trained_on = digests(known) | (frozenset() if wrote is None else digests(wrote))
    scorer.accuracy = accuracies(scorer, held, np.random.default_rng(seed), held_wrote)
    return scorer


def accuracies(
    scorer: SongScorer, real: Songs, rng: np.random.Generator, sampled: Songs | None = None
) -> dict[str, float]:
    """Share of comparisons that a scorer gets right, by the kind of the worse song; a tie is half right.

    Args:
        scorer: judges.
        real: songs (N, 3, T), each against itself spoiled in every way, where that changes it.
        rng: of the corruptions.
        sampled: songs, each against a real one.
    """
    good = scorer.score(*real)
    found = {}
    for kind in CORRUPTIONS:
        spoiled, _ = corrupt(*real, scorer.tokens, rng, [kind])
        changed = (spoiled != real[0]).any(axis=(1, 2))
        found[kind] = _right(good[changed], scorer.score(spoiled, real[1])[changed])
    if sampled is not None:
        found[SAMPLED] = _right(good[rng.integers(0, len(good), len(sampled[1]))], scorer.score(*sampled))
    return found


def comparisons(
    score: Score, songs: Songs, tokens: SongTokens, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(M,) how far apart a scorer puts songs and the same ones spoiled, in nats, and whether the spoiled one is lower.

    It is what `prefalign_audio.builders.precision.threshold_for_precision` wants where nobody has compared songs. Give
    songs that it has not learnt from, such as those whose pairs it shall judge.

    Args:
        score: of a scorer, or of several together.
        songs: N of them, each spoiled in one way; M of them were changed by it.
        tokens: vocabulary of the codes.
        rng: of the ways.
    """
    spoiled, _ = corrupt(*songs, tokens, rng)
    changed = (spoiled != songs[0]).any(axis=(1, 2))
    difference = (score(*songs) - score(spoiled, songs[1]))[changed]
    return np.abs(difference), difference > 0


def digests(songs: Songs) -> frozenset[str]:
    """Hashes of songs, equal for equal codes up to a song's end."""
    rows = (codes[:, :length] for codes, length in zip(*songs, strict=True))
    return frozenset(hashlib.sha256(row.astype("<i8").tobytes()).hexdigest()[:16] for row in rows)


def apart(songs: Songs, others: Songs) -> Songs:
    """The songs that are not among the others. Chorales share phrases, so that halves of a corpus may, too."""
    known = digests(others)
    kept = np.array(
        [digests((songs[0][i : i + 1], songs[1][i : i + 1])).isdisjoint(known) for i in range(len(songs[1]))]
    )
    return songs[0][kept], songs[1][kept]


def ensure_disjoint(reward: SongScorer, judge: SongScorer) -> None:
    """Check that two scorers have learnt from different songs, so that one can measure what the other has trained.

    Raises:
        SongError: if they share a song, or one of them does not know what it has learnt from.
    """
    if not (reward.trained_on and judge.trained_on):
        raise SongError("a scorer that does not know what it has learnt from; expected trained ones")
    if shared := reward.trained_on & judge.trained_on:
        raise SongError(f"reward and judge have both learnt from {len(shared)} songs; see `apart`")


def _right(good: NDArray[np.float64], bad: NDArray[np.float64]) -> float:
    return float(((good > bad) + 0.5 * (good == bad)).mean()) if len(good) else float("nan")


def _parted(songs: Songs, name: str, width: int, scorer: SongScorer) -> tuple[Songs, Songs]:
    """What is trained on and every tenth song, both (N, 3, `width`), with rests behind a song's end."""
    codes, lengths = np.asarray(songs[0]), np.asarray(songs[1])
    if len(lengths) < 2 * _HELD_OUT:
        raise SongError(f"{len(lengths)} {name} songs; expected {2 * _HELD_OUT} at least, a tenth of which tests")
    scorer.score(codes, lengths)
    inside = np.arange(codes.shape[2]) < lengths[:, None]
    filled = np.where(inside[:, None], codes, REST).astype(np.int64)
    filled = np.pad(filled, ((0, 0), (0, 0), (0, width - codes.shape[2])), constant_values=REST)
    tests = np.arange(len(lengths)) % _HELD_OUT == _HELD_OUT - 1
    return (filled[~tests], lengths[~tests]), (filled[tests], lengths[tests])


def _drawn(songs: Songs, rng: np.random.Generator, number: int) -> Songs:
    chosen = rng.integers(0, len(songs[1]), number)
    return songs[0][chosen], songs[1][chosen]


def _worse(better: Songs, wrote: Songs | None, tokens: SongTokens, rng: np.random.Generator) -> Songs:
    """A worse song for each: the same one spoiled, or one of those that a model wrote."""
    codes, lengths = corrupt(*better, tokens, rng)[0], better[1].copy()
    if wrote is not None:
        replaced = np.flatnonzero(rng.random(len(lengths)) < _SAMPLED_SHARE)
        codes[replaced], lengths[replaced] = _drawn(wrote, rng, len(replaced))
    return codes, lengths
