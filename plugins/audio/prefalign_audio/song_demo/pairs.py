"""The preference sets of the arms, all made of the same judged songs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from prefalign.data.build import derive_seed, run_stages
from prefalign.data.stages import BestWorst
from prefalign.interfaces import Pair, PreferenceRecord


def pair_sets(judged: Sequence[PreferenceRecord], threshold: float, seed: int) -> dict[str, list[PreferenceRecord]]:
    rules = {
        "lyric": BestWorst("lyric", min_gap=0.2),
        "prompt": BestWorst("prompt", min_gap=0.49),
        "musicality": BestWorst("musicality", min_gap=threshold),
    }
    judged = [
        replace(
            r, responses=tuple(replace(x, scores={**x.scores, "lyric": -x.scores["lyric_error"]}) for x in r.responses)
        )
        for r in judged
    ]
    sets = {name: list(run_stages(judged, [rule], seed)) for name, rule in rules.items()}
    union = [replace(p, id=f"{name}:{p.id}") for name, ps in sets.items() for p in ps]
    sets["mixed"] = union
    sets["coin"] = [
        replace(p, verdict=Pair(chosen=1, rejected=0)) if derive_seed(seed, "coin", p.id) % 2 else p for p in union
    ]
    return sets
