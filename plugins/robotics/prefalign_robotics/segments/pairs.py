"""Two stretches of two episodes, and which of them somebody preferred."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from prefalign.interfaces import Pair
from prefalign_robotics.segments.errors import SegmentError

Source = Literal["human", "scripted", "transferred"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentPair:
    """One comparison of segments a and b of equal length.

    Attributes:
        pair_id: unique within its set.
        episode_index_a, episode_index_b: positions of the episodes in their store or data set.
        start_a, start_b: first step of each segment within its episode.
        length: steps of both segments, at least 1.
        label: P(b is better) in [0, 1], as in human comparisons; 1/2 where there is no preference.
        weight: factor on the pair's loss, at least 0.
        annotator: who judged.
        source: `human`, `scripted` (from a known reward), or `transferred` (from another task).
        confidence: in [0, 1], how sure the source is of its label; None where it does not say.

    Raises:
        SegmentError: naming the pair and the field, for numbers out of their range, or a segment beside itself.
    """

    pair_id: str
    episode_index_a: int
    start_a: int
    episode_index_b: int
    start_b: int
    length: int
    label: float
    weight: float = 1.0
    annotator: str | None = None
    source: Source = "human"
    confidence: float | None = None

    def __post_init__(self) -> None:
        if not self.pair_id:
            raise SegmentError("expected a pair_id, got an empty one")
        for name in ("episode_index_a", "start_a", "episode_index_b", "start_b", "length"):
            number, least = getattr(self, name), int(name == "length")
            if number < least:
                raise self.error(f"expected {name} of at least {least}, got {number}")
        if self.segments[0] == self.segments[1]:
            raise self.error(f"compares steps {self.start_a} on of episode {self.episode_index_a} with themselves")
        if not 0 <= self.label <= 1:  # NaN included
            raise self.error(f"expected a label in [0, 1], got {self.label}")
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise self.error(f"expected a finite weight of at least 0, got {self.weight}")
        if self.source not in get_args(Source):
            raise self.error(f"expected source to be one of {', '.join(get_args(Source))}, got {self.source!r}")
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise self.error(f"expected a confidence in [0, 1], got {self.confidence}")

    @property
    def segments(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """(episode, start, length) of a and of b."""
        a = (self.episode_index_a, self.start_a, self.length)
        return a, (self.episode_index_b, self.start_b, self.length)

    @property
    def verdict(self) -> Pair:
        """The comparison, where a is response 0 and b is response 1."""
        return verdict_of(self.label)

    def error(self, problem: str) -> SegmentError:
        """An error about this pair, naming its id."""
        return SegmentError(f"pair {self.pair_id!r}: {problem}")


def verdict_of(label: float) -> Pair:
    """The verdict on responses 0 and 1 where `label` is P(1 is better): a tie at 1/2, else the likelier one chosen."""
    if label == 0.5:
        return Pair(0, 1, probability=0.5, tie=True)
    return Pair(1, 0, probability=label) if label > 0.5 else Pair(0, 1, probability=1 - label)
