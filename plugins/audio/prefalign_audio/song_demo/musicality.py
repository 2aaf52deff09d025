"""Two judges of musicality that share no song: one that preferences come from, one that measures what came of them."""

from __future__ import annotations

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
from prefalign_audio.songs.scorer import SongScorer
from prefalign_audio.streams.codec import CODES
from prefalign_audio.streams.policy import StreamPolicy

#: Share of comparisons that the reward must decide rightly beyond the pairs' gap (LeVo, third strategy).
PRECISION = 0.8


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
            scorer = train_musicality(
                stacked([item.codes for item in half]),
                world.tokens,
                seed=mine % 2**32,
                architecture=architecture,
                sampled=_sampled(policy, half, mine),
            )
            scorer.save_pretrained(place)
        scorers.append(SongScorer.from_pretrained(place))
    reward, judge = scorers
    ensure_disjoint(reward, judge)
    # Songs of the base that the reward has not met: it shall judge such.
    songs = _sampled(policy, world.halves()[0], derive_seed(seed, "trusted"))
    rng = np.random.default_rng(derive_seed(seed, "spoiled"))
    trusted = threshold_for_precision(*comparisons(reward, songs, rng), wanted=PRECISION)
    facts = {"reward": reward.accuracy, "judge": judge.accuracy, "trusted": asdict(trusted)}
    return Judges(reward.score, judge.score, trusted.gap, facts)


def _sampled(policy: StreamPolicy, items: Sequence[Item], seed: int) -> Songs:
    """A song of the policy to the prompt of each phrase."""
    songs = flat(sample(policy, [item.prompt for item in items], 1, seed))
    return stacked([song.arrays[CODES] for song in songs])
