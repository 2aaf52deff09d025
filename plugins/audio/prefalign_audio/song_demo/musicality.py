"""Two judges of musicality that share no song: one that preferences come from, one that measures what came of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prefalign.data.build import derive_seed
from prefalign_audio.builders.precision import PrecisionThreshold, threshold_for_precision
from prefalign_audio.song_demo.judging import Scorer, flat, sample
from prefalign_audio.song_demo.world import Item, World
from prefalign_audio.songs.corruptions import corrupt
from prefalign_audio.songs.musicality import Songs, ensure_disjoint, train_musicality
from prefalign_audio.songs.rewards import stacked
from prefalign_audio.songs.scorer import SongScorer
from prefalign_audio.streams.codec import CODES
from prefalign_audio.streams.policy import StreamPolicy

#: Share of comparisons that the reward must decide rightly beyond the pairs' gap (LeVo, third strategy).
PRECISION = 0.8

#: The smallest gap, in nats: of pairs that are closer the reward would say itself that it is nearly a coin.
LEAST_GAP = 1.0

#: Phrases of a half that its scorer does not learn from, on which the gap is chosen.
CALIBRATION = 100


@dataclass(frozen=True)
class Judges:
    """The two.

    Attributes:
        reward: whose scores the preferences are made of; it learnt from one half of the chorales.
        judge: of another architecture, which learnt from the other half.
        threshold: gap of rewards from which on a pair is kept, in nats.
        facts: their accuracies on held-out songs.
    """

    reward: Scorer
    judge: Scorer
    threshold: float
    facts: dict[str, Any]


def train_judges(folder: Path, world: World, policy: StreamPolicy, seed: int, log: Callable[[str], None]) -> Judges:
    """Train both, each on real songs of its half against spoiled ones, and against songs of the base for its prompts.

    What the folder has is not trained again.
    """
    scorers = []
    for half, (name, architecture) in zip(
        world.halves(), {"reward": "convolution", "judge": "recurrence"}.items(), strict=True
    ):
        place, mine = folder / name, derive_seed(seed, name)
        if not place.is_dir():
            log(f"training the {name} of musicality")
            items = half[:-CALIBRATION]
            scorer = train_musicality(
                stacked([item.codes for item in items]),
                world.tokens,
                seed=mine % 2**32,
                architecture=architecture,
                sampled=_sampled(policy, items, mine),
            )
            scorer.save_pretrained(place)
        scorers.append(SongScorer.from_pretrained(place))
    reward, judge = scorers
    ensure_disjoint(reward, judge)
    trusted = _threshold(reward, world.halves()[0][-CALIBRATION:], policy, seed)
    facts = {"reward": reward.accuracy, "judge": judge.accuracy, "trusted": asdict(trusted)}
    return Judges(reward.score, judge.score, max(trusted.gap, LEAST_GAP), facts)


def _sampled(policy: StreamPolicy, items: Sequence[Item], seed: int) -> Songs:
    """A song of the policy to the prompt of each phrase."""
    songs = flat(sample(policy, [item.prompt for item in items], 1, seed))
    return stacked([song.arrays[CODES] for song in songs])


def _threshold(scorer: SongScorer, items: Sequence[Item], policy: StreamPolicy, seed: int) -> PrecisionThreshold:
    """From which gap on the scorer is right often enough, on phrases that it has not learnt from, each against itself
    spoiled and against a song of the policy."""
    real = stacked([item.codes for item in items])
    spoiled, _ = corrupt(*real, scorer.tokens, np.random.default_rng(derive_seed(seed, "spoiled")))
    worse = [scorer.score(spoiled, real[1]), scorer.score(*_sampled(policy, items, derive_seed(seed, "trusted")))]
    ahead = np.concatenate([scorer.score(*real) - found for found in worse])
    return threshold_for_precision(np.abs(ahead), ahead > 0, PRECISION)
