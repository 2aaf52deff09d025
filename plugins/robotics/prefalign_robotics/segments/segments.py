"""Segments of one task in memory, and comparisons between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefalign_robotics.segments.errors import SegmentError


@dataclass(frozen=True, eq=False)
class Segments:
    """N stretches of behaviour in one task, T steps each.

    Attributes:
        observations: (N, T, O) float32, finite, in the task's own units.
        actions: (N, T, A) float32, finite.
        name: of the task, for messages.

    Raises:
        SegmentError: for other shapes, fewer than two segments, or values that are not finite.
    """

    observations: np.ndarray
    actions: np.ndarray
    name: str = "segments"

    def __post_init__(self) -> None:
        for kind in ("observations", "actions"):
            values = getattr(self, kind)
            if values.ndim != 3 or values.dtype != np.float32 or not values.shape[2]:
                found = f"{values.shape} {values.dtype}"
                raise SegmentError(f"{self.name}: expected {kind} (segments, steps, numbers) of float32, got {found}")
            wrong = np.argwhere(~np.isfinite(values))
            if len(wrong):
                segment, step, number = wrong[0]
                raise SegmentError(
                    f"{self.name}: {kind} of segment {segment} are not finite: number {number} at step {step} is "
                    f"{values[segment, step, number]} ({len(wrong)} such values in all)"
                )
        if self.observations.shape[:2] != self.actions.shape[:2]:
            shapes = f"observations {self.observations.shape[:2]}, actions {self.actions.shape[:2]}"
            raise SegmentError(f"{self.name}: expected as many segments and steps of both kinds, got {shapes}")
        if len(self) < 2 or not self.steps:
            raise SegmentError(f"{self.name}: expected at least two segments of at least one step, got {len(self)}")

    def __len__(self) -> int:
        return len(self.observations)

    @property
    def steps(self) -> int:
        """Of each segment."""
        return int(self.observations.shape[1])

    def select(self, rows: np.ndarray) -> Segments:
        """The segments of `rows` (M,)."""
        return Segments(self.observations[rows], self.actions[rows], self.name)


@dataclass(frozen=True, eq=False)
class Comparisons:
    """What was said of P pairs of segments.

    Attributes:
        pairs: (P, 2) int64 rows of segments.
        labels: (P,) float64, P(the second is better) in [0, 1]; 1/2 where there is no preference.

    Raises:
        SegmentError: for other shapes, a segment compared with itself, or labels outside [0, 1].
    """

    pairs: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.pairs.ndim != 2 or self.pairs.shape[1] != 2 or self.labels.shape != self.pairs.shape[:1]:
            found = f"{self.pairs.shape} and {self.labels.shape}"
            raise SegmentError(f"expected pairs (P, 2) and a label for each, got {found}")
        wrong = np.flatnonzero(~((self.labels >= 0) & (self.labels <= 1)))  # NaN included
        if len(wrong):
            raise SegmentError(f"expected labels in [0, 1], but pair {wrong[0]} has {self.labels[wrong[0]]}")
        same = np.flatnonzero(self.pairs[:, 0] == self.pairs[:, 1])
        if len(same):
            raise SegmentError(f"pair {same[0]} compares segment {self.pairs[same[0], 0]} with itself")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def decided(self) -> np.ndarray:
        """(P,) where there is a preference."""
        return self.labels != 0.5

    def within(self, segments: Segments) -> Comparisons:
        """These comparisons, after a check that all their segments are there.

        Raises:
            SegmentError: if one is not.
        """
        if len(self) and not 0 <= self.pairs.min() <= self.pairs.max() < len(segments):
            raise SegmentError(f"{segments.name}: pairs name segments up to {self.pairs.max()} of {len(segments)}")
        return self


def all_pairs(count: int) -> np.ndarray:
    """(count (count − 1)/2, 2) every pair of `count` segments, once."""
    return np.stack(np.triu_indices(count, 1), 1)


def frame_groups(segments: Segments, pairs: np.ndarray) -> np.ndarray:
    """(P,) number of the group of each pair: pairs that share a frame of behaviour, directly or through others.

    A split that separates a group lets a learner see what it is tested on; tests that flip labels flip whole groups.
    """
    _, frames = np.unique(
        segments.observations.reshape(-1, segments.observations.shape[2]), axis=0, return_inverse=True
    )
    frames = frames.reshape(len(segments), -1)
    holder = np.arange(frames.max() + 1)

    def root(frame: int) -> int:
        while holder[frame] != frame:
            holder[frame] = frame = holder[holder[frame]]
        return frame

    for first, second in pairs:
        home = root(int(frames[first, 0]))
        for frame in (*frames[first], *frames[second]):
            holder[root(int(frame))] = home
    roots = [root(int(frames[first, 0])) for first, _ in pairs]
    return np.unique(roots, return_inverse=True)[1]
