"""Two judges of musicality that share no song: one that preferences come from, one that measures what came of them.

Each is a committee of two networks that hear songs in different ways: what one of them alone likes is often a way to
fool it, and tuning finds such ways.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prefalign.data.build import derive_seed
from prefalign_audio.builders.precision import threshold_for_precision
from prefalign_audio.song_demo.judging import Scorer, flat, sample
from prefalign_audio.song_demo.world import Item, World
from prefalign_audio.songs.musicality import Songs, comparisons, ensure_disjoint, train_musicality
from prefalign_audio.songs.rewards import stacked
from prefalign_audio.songs.scorer import ARCHITECTURES, SongScorer
from prefalign_audio.streams.codec import CODES
from prefalign_audio.streams.policy import StreamPolicy

#: Share of comparisons that the reward must decide rightly beyond the pairs' gap (LeVo, third strategy).
PRECISION = 0.8


@dataclass(frozen=True)
class Judges:
    """The two.

    Attributes:
        reward: whose scores the preferences are made of; it learnt from one half of the chorales.
        judge: which learnt from the other half; 0 is the mean of the held-out phrases, so that seeds can be compared.
        threshold: gap of rewards from which on a pair is kept, in nats.
        facts: accuracies of their members on held-out songs, and how the threshold was chosen.
    """

    reward: Scorer
    judge: Scorer
    threshold: float
    facts: dict[str, Any]


def train_judges(folder: Path, world: World, policy: StreamPolicy, seed: int, log: Callable[[str], None]) -> Judges:
    """Train both, each on real songs of its half against spoiled ones, and against songs of the base for its prompts.

    What the folder has is not trained again.
    """
    reward, judge = (
        [_member(folder / name / kind, world, half, policy, derive_seed(seed, name), log) for kind in ARCHITECTURES]
        for name, half in zip(("reward", "judge"), world.halves(), strict=True)
    )
    for one, other in itertools.product(reward, judge):
        ensure_disjoint(one, other)
    # Songs of the base that the reward has not met: it shall judge such.
    songs = _sampled(policy, world.halves()[0], derive_seed(seed, "trusted"))
    rng = np.random.default_rng(derive_seed(seed, "spoiled"))
    gaps, right = comparisons(committee(reward), songs, world.tokens, rng)
    trusted = threshold_for_precision(gaps, right, wanted=PRECISION)
    facts = {
        name: {member.architecture: member.accuracy for member in members}
        for name, members in (("reward", reward), ("judge", judge))
    }
    heard = committee(judge)
    origin = float(heard(*stacked([item.codes for item in world.held_out])).mean())

    def measured(codes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return heard(codes, lengths) - origin

    return Judges(committee(reward), measured, trusted.gap, {**facts, "trusted": asdict(trusted)})


def committee(members: Sequence[SongScorer]) -> Scorer:
    """The mean of what the members say, in nats."""
    return lambda codes, lengths: np.mean([member.score(codes, lengths) for member in members], axis=0)


def _member(
    place: Path, world: World, half: Sequence[Item], policy: StreamPolicy, seed: int, log: Callable[[str], None]
) -> SongScorer:
    if not place.is_dir():
        log(f"training the {place.parent.name} of musicality ({place.name})")
        scorer = train_musicality(
            stacked([item.codes for item in half]),
            world.tokens,
            seed=derive_seed(seed, place.name) % 2**32,
            architecture=place.name,
            sampled=_sampled(policy, half, seed),
        )
        scorer.save_pretrained(place)
    return SongScorer.from_pretrained(place)


def _sampled(policy: StreamPolicy, items: Sequence[Item], seed: int) -> Songs:
    """A song of the policy to the prompt of each phrase."""
    songs = flat(sample(policy, [item.prompt for item in items], 1, seed))
    return stacked([song.arrays[CODES] for song in songs])
