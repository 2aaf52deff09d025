"""Whole episodes of one task, their file, and the windows that people or teachers compare."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prefalign.data.atomic import atomic_path
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Segments
from prefalign_robotics.simulator.world import ACTION, OBSERVATION

_ARRAYS = {"observations": 3, "actions": 3, "rewards": 2, "success": 2, "kinds": 1, "noise": 1, "instances": 1}


@dataclass(frozen=True, eq=False)
class Episodes:
    """E episodes of T steps. Step t holds what was seen, what was done then, and what that earned.

    Attributes:
        observations: (E, T, O) float32, before each action; the one after the last action is left out.
        actions: (E, T, A) float32 as executed, so within the simulator's bounds.
        rewards: (E, T) float32, for the action of the same step.
        success: (E, T) bool, whether the task was done after that action.
        kinds: (E,) text, who acted.
        noise: (E,) float32 standard deviation of the Gaussian noise on the actions.
        instances: (E,) int64 number of the goal instance.
        task: name, for messages.

    Raises:
        SegmentError: for arrays that do not fit together.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    success: np.ndarray
    kinds: np.ndarray
    noise: np.ndarray
    instances: np.ndarray
    task: str = "episodes"

    def __post_init__(self) -> None:
        for name, axes in _ARRAYS.items():
            found = getattr(self, name).shape
            if len(found) != axes or found[:2] != self.observations.shape[: min(axes, 2)]:
                expected = f"(episodes, steps{', numbers' * (axes > 2)})" if axes > 1 else "(episodes,)"
                raise SegmentError(
                    f"{self.task}: expected {name} {expected} beside observations "
                    f"{self.observations.shape}, got {found}"
                )

    def __len__(self) -> int:
        return len(self.observations)

    @property
    def steps(self) -> int:
        """Of each episode."""
        return int(self.observations.shape[1])

    @property
    def returns(self) -> np.ndarray:
        """(E,) float64 sum of each episode's rewards."""
        return np.asarray(self.rewards.sum(1, dtype=np.float64))

    @property
    def succeeded(self) -> np.ndarray:
        """(E,) bool, whether the task was done at any step."""
        return np.asarray(self.success.any(1))

    def select(self, rows: np.ndarray) -> Episodes:
        """The episodes of `rows` (M,), numbers or a mask."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _ARRAYS})

    def settled(self, frames: int = 3) -> Episodes:
        """The same episodes, their first `frames` observations replaced by the next one.

        A simulator drops objects into place at the start, and Meta-World's first observation may even show an object
        where it stood before the reset, off by up to 0.2 m; to features, that would look like a world set in motion by
        the robot. Policies see the unsettled frames, so they should learn from the episodes as they are.

        Raises:
            SegmentError: for episodes that are no longer than that.
        """
        if frames >= self.steps:
            raise SegmentError(f"{self.task}: {frames} frames to settle, but episodes of {self.steps} steps")
        observations = self.observations.copy()
        observations[:, :frames] = observations[:, frames : frames + 1]
        return replace(self, observations=observations)

    def as_segments(self) -> Segments:
        """Whole episodes as segments, for scoring."""
        return Segments(self.observations, self.actions, self.task)

    def save(self, path: Path | str) -> None:
        """Write a compressed NumPy archive (.npz), all at once or not at all."""
        with atomic_path(Path(path)) as partial, open(partial, "wb") as file:
            np.savez_compressed(file, task=np.array(self.task), **{name: getattr(self, name) for name in _ARRAYS})


def load_episodes(path: Path | str) -> Episodes:
    """What `Episodes.save` wrote.

    Raises:
        SegmentError: for a file that is absent, damaged, pickled, or holds other arrays.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = [name for name in ("task", *_ARRAYS) if name not in archive]
            if missing:
                raise SegmentError(f"{path}: no array {missing[0]!r}; expected what Episodes.save writes")
            return Episodes(**{name: archive[name] for name in _ARRAYS}, task=str(archive["task"]))
    except FileNotFoundError:
        raise SegmentError(f"{path}: no such file") from None
    except SegmentError:
        raise
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, ValueError, TypeError) as error:
        raise SegmentError(f"{path}: damaged, or no NumPy archive without pickle ({error})") from None


def blank_episodes(task: str, steps: int, kinds: np.ndarray, noise: np.ndarray, instances: np.ndarray) -> Episodes:
    """Episodes of Meta-World that a simulation fills in, row by row."""
    count = len(kinds)
    return Episodes(
        np.zeros((count, steps, OBSERVATION), np.float32),
        np.zeros((count, steps, ACTION), np.float32),
        np.zeros((count, steps), np.float32),
        np.zeros((count, steps), bool),
        kinds,
        noise.astype(np.float32),
        instances,
        task,
    )


class Windows(NamedTuple):
    """N stretches of T steps, cut out of episodes.

    Attributes:
        segments: what was seen and done.
        rewards: (N, T) float32.
        episodes: (N,) int64 row of the episode that each was cut from.
        starts: (N,) int64 its first step there.
    """

    segments: Segments
    rewards: np.ndarray
    episodes: np.ndarray
    starts: np.ndarray

    @property
    def returns(self) -> np.ndarray:
        """(N,) float64 sum of each window's rewards."""
        return np.asarray(self.rewards.sum(1, dtype=np.float64))


def windows(episodes: Episodes, count: int, length: int = 50, seed: int = 0) -> Windows:
    """`count` different windows, drawn uniformly over episodes and starts.

    Args:
        episodes: to cut from; pass `episodes.settled()` where features look at motion.
        count: of windows.
        length: steps of each.
        seed: of the draw.

    Raises:
        SegmentError: if there are not as many, or no episode is that long.
    """
    starts = episodes.steps - length + 1
    if length < 1 or starts < 1:
        raise SegmentError(f"{episodes.task}: windows of {length} steps do not fit episodes of {episodes.steps}")
    if count > len(episodes) * starts:
        raise SegmentError(
            f"{episodes.task}: {len(episodes)} episodes hold {len(episodes) * starts} windows of {length} steps, "
            f"not {count}"
        )
    drawn = np.random.default_rng(seed).choice(len(episodes) * starts, count, replace=False)
    row, start = np.divmod(drawn, starts)
    cells = row[:, None], start[:, None] + np.arange(length)
    segments = Segments(episodes.observations[cells], episodes.actions[cells], episodes.task)
    return Windows(segments, episodes.rewards[cells], row, start)
