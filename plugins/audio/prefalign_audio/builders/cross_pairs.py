"""Cross-pair preferences of DiffRhythm 2 (arXiv 2510.22950): one model for several criteria, taken two by two."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prefalign.data.stages import paired
from prefalign.interfaces import PrefalignError, PreferenceRecord, Stage, StageReport
from prefalign_audio.builders.agreement import scored
from prefalign_audio.builders.mixed import rank_sums


class CrossPairs(Stage):
    """For each group of criteria a pair of a candidate that satisfies all of them and one that fails at least one.

    The paper groups musicality with lyric alignment, and similarity of style with audio quality, and trains one model
    on all pairs. What is known of it here is from summaries: that winners satisfy both preferences of a group, and that
    of losers "at least one" is asked, which we read as failing one. When a preference counts as satisfied, and which of
    several winners and losers form a pair, was not found. Here a score above a limit satisfies, and the pair is that of
    the winner with the highest sum of ranks in the group and the loser with the lowest.

    Args:
        groups: names of the scores of each group, two or more.
        limits: by score, what a candidate must exceed to satisfy it.

    Raises:
        PrefalignError: without groups, for a group of fewer than two scores or with one twice, and for scores without a
            finite limit.
    """

    def __init__(self, groups: Sequence[Sequence[str]], limits: Mapping[str, float]) -> None:
        if not groups:
            raise PrefalignError("expected groups of scores, one at least")
        for group in groups:
            if isinstance(group, str) or len(group) < 2 or len(set(group)) < len(group):
                raise PrefalignError(f"expected a group of two different scores or more, got {group!r}")
            for name in group:
                if not math.isfinite(limits.get(name, math.nan)):
                    raise PrefalignError(f"{name}: expected a finite limit, got {limits.get(name)}")
        self.groups = [list(group) for group in groups]
        self.limits = {name: float(limits[name]) for group in groups for name in group}

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The pairs, named `<id>/<score>+<score>`; nothing is random. What is left out is counted group by group."""
        for record in records:
            report.seen += 1
            for group in self.groups:
                name = "+".join(group)
                found = scored(record, group)
                sums = rank_sums(found)
                good = {
                    index: all(score > self.limits[which] for which, score in zip(group, scores, strict=True))
                    for index, scores in found.items()
                }
                winners, losers = [i for i in found if good[i]], [i for i in found if not good[i]]
                if len(found) < 2:
                    report.drop(f"{name}: fewer than two candidates have all scores")
                elif not winners:
                    report.drop(f"{name}: no candidate satisfies all")
                elif not losers:
                    report.drop(f"{name}: every candidate satisfies all")
                else:
                    winner = max(winners, key=lambda index: sums[index])
                    loser = min(losers, key=lambda index: sums[index])
                    # What differs in its scores may still be the same song where a judge is random.
                    if record.responses[winner].same_payload(record.responses[loser]):
                        report.drop(f"{name}: winner and loser are identical")
                        continue
                    report.made += 1
                    yield paired(record, winner, loser, f"/{name}")

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {"groups": self.groups, "limits": self.limits}
