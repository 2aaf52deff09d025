"""Two judges of musicality that share no song: one that preferences come from, one that measures what came of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefalign.data.build import derive_seed
from prefalign_audio.song_demo.judging import Scorer, flat, sample
from prefalign_audio.song_demo.world import World
from prefalign_audio.songs.musicality import ensure_disjoint, train_musicality
from prefalign_audio.songs.rewards import stacked
from prefalign_audio.songs.scorer import SongScorer
from prefalign_audio.streams.codec import CODES
from prefalign_audio.streams.policy import StreamPolicy

#: Share of held-out comparisons that the pairs' gap must decide rightly (LeVo, third strategy).
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
    for which, (name, architecture) in enumerate({"reward": "convolution", "judge": "recurrence"}.items()):
        place = folder / name
        if place.is_dir():
            scorers.append(SongScorer.from_pretrained(place))
            continue
        log(f"training the {name} of musicality")
        items, mine = world.halves()[which], derive_seed(seed, name)
        songs = flat(sample(policy, [item.prompt for item in items], 1, mine))
        scorer = train_musicality(
            stacked([item.codes for item in items]),
            world.tokens,
            seed=mine % 2**32,
            architecture=architecture,
            sampled=stacked([song.arrays[CODES] for song in songs]),
        )
        scorer.save_pretrained(place)
        scorers.append(scorer)
    reward, judge = scorers
    ensure_disjoint(reward, judge)
    facts = {"reward": reward.accuracy, "judge": judge.accuracy}
    return Judges(reward.score, judge.score, 1.0, facts)
