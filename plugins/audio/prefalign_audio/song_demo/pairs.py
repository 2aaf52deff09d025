"""The preference sets of the arms, all made of the same judged songs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from prefalign.data.build import derive_seed, run_stages
from prefalign.data.stages import BestWorst
from prefalign.interfaces import Pair, PreferenceRecord, Stage
from prefalign_audio.builders.cross_pairs import CrossPairs
from prefalign_audio.builders.mixed import MixedPairs, RankSumBestWorst

#: The scores that pairs are made of; higher is better in all of them.
SCORES = ("lyric", "prompt", "musicality")

#: Most pairs of a criterion. A run that meets a pair a dozen times learns it by heart.
MOST = 5000


def pair_sets(judged: Sequence[PreferenceRecord], gap: float, seed: int) -> dict[str, list[PreferenceRecord]]:
    """Preferences by the name of their set.

    On one criterion the best of a prompt's songs wins over each of the others that is far enough behind. The gaps are
    HeartMuLa's for the lyric (a phoneme error rate lower by more than 0.1), one of mode and register for the prompt,
    and for musicality what its judge was trusted from.

    Args:
        judged: candidates with their scores.
        gap: of musicality, in nats.
        seed: of the coins.
    """
    single: dict[str, Stage] = {
        "lyric": BestWorst("lyric", min_gap=0.1, losers="all"),
        "prompt": BestWorst("prompt", min_gap=0.25, losers="all"),
        "musicality": BestWorst("musicality", min_gap=gap, losers="all"),
    }
    rules: dict[str, Stage] = {
        **single,
        "mixed": MixedPairs(single),
        "rank_sum": RankSumBestWorst(SCORES),
        "cross": CrossPairs(list(itertools.combinations(SCORES, 2)), _limits(judged)),
    }
    sets = {
        name: _some(run_stages(judged, [rule], seed), MOST * (1 if name in single else len(single)), seed)
        for name, rule in rules.items()
    }
    return {**sets, "coin": by_coin(sets["mixed"], seed)}


def _some(pairs: Iterable[PreferenceRecord], most: int, seed: int) -> list[PreferenceRecord]:
    """At most so many of the pairs, drawn without regard to their order."""
    return sorted(pairs, key=lambda pair: derive_seed(seed, "kept", pair.id))[:most]


def _limits(judged: Iterable[PreferenceRecord]) -> dict[str, float]:
    """What a song must exceed to satisfy a criterion: the median of all candidates, or, where more than half have the
    highest score, anything below it."""
    values = {name: [song.scores[name] for record in judged for song in record.responses] for name in SCORES}
    return {name: min(float(np.median(found)), max(found) - 1e-6) for name, found in values.items()}


def by_coin(pairs: Iterable[PreferenceRecord], seed: int) -> list[PreferenceRecord]:
    """The same pairs, each turned round or not by a fair coin that is thrown once: preferences that say nothing."""
    turned = []
    for pair in pairs:
        coin = derive_seed(seed, "coin", pair.id) % 2
        turned.append(replace(pair, verdict=Pair(chosen=1, rejected=0)) if coin else pair)
    return turned
