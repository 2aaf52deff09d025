"""One episode of behaviour, of any length, checked as it is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefalign_robotics.segments.errors import SegmentError

MATRICES = ("observations", "actions")
FLAGS = ("terminations", "truncations", "dones")
PER_STEP = (*MATRICES, "rewards", *FLAGS)
"""The arrays with one entry a step, in the order in which errors and files name them."""


@dataclass(frozen=True, eq=False)
class Episode:
    """T steps in the order in which they were taken.

    Any kind of number is taken and kept as the type below; a matrix of one axis becomes one of a single column.

    Attributes:
        observations: (T, O) float32, finite: what was seen before each action.
        actions: (T, A) float32, finite.
        rewards: (T,) float32, finite: what followed each action; None where the data has none.
        terminations: (T,) bool: the task ended after this step.
        truncations: (T,) bool: the recording was cut after this step.
        dones: (T,) bool: either of both, from sources that do not say which.
        final_observation: (O,) float32: what was seen after the last action.
        id: what the data calls the episode.
        place: how messages call it: file and episode.

    Raises:
        SegmentError: naming place, array and step, for other shapes, no step at all, or numbers that are not finite.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray | None = None
    terminations: np.ndarray | None = None
    truncations: np.ndarray | None = None
    dones: np.ndarray | None = None
    final_observation: np.ndarray | None = None
    id: str = "0"
    place: str = "episode"

    def __post_init__(self) -> None:
        for name in MATRICES:
            self._set(name, self._numbers(name, getattr(self, name), 2))
        if self.rewards is not None:
            self._set("rewards", self._numbers("rewards", self.rewards, 1))
        for name in FLAGS:
            if getattr(self, name) is not None:
                self._set(name, self._flags(name, np.asarray(getattr(self, name))))
        steps = len(self.actions)
        for name in PER_STEP:
            values = getattr(self, name)
            if values is not None and len(values) != steps:
                raise self.error(f"expected {steps} {name}, one for each action, got {len(values)}")
        if not steps:
            raise self.error("expected at least one step, got none")
        if self.final_observation is not None:
            final = self._numbers("final_observation", np.asarray(self.final_observation)[None], 2)[0]
            if final.shape != self.observations.shape[1:]:
                shapes = f"{self.observations.shape[1:]}, got {final.shape}"
                raise self.error(f"expected a final observation of shape {shapes}")
            self._set("final_observation", final)

    def __len__(self) -> int:
        return len(self.actions)

    def error(self, problem: str) -> SegmentError:
        """An error about this episode, naming its place."""
        return SegmentError(f"{self.place}: {problem}")

    def _set(self, name: str, value: np.ndarray) -> None:
        object.__setattr__(self, name, value)

    def _numbers(self, name: str, values: np.ndarray, axes: int) -> np.ndarray:
        values = np.asarray(values)
        if axes == 2 and values.ndim == 1:
            values = values[:, None]
        if values.dtype.kind not in "biuf" or values.ndim != axes or 0 in values.shape[1:]:
            wanted = "(steps, numbers)" if axes == 2 else "(steps,)"
            raise self.error(f"expected {name} {wanted} of numbers, got {values.shape} {values.dtype}")
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused below, as infinite
            found = values.astype(np.float32, copy=False)
        if not np.isfinite(found).all():
            step, *number = np.argwhere(~np.isfinite(found))[0].tolist()
            at = "" if name == "final_observation" else f" at step {step}"
            which = f", number {number[0]}" if number else ""
            problem = f"expected finite numbers within float32, got {values[step, *number]}"
            raise self.error(f"{name}{at}{which}: {problem}")
        return found

    def _flags(self, name: str, values: np.ndarray) -> np.ndarray:
        if values.ndim != 1 or values.dtype.kind not in "biuf":
            raise self.error(f"expected {name} (steps,) of flags, got {values.shape} {values.dtype}")
        wrong = np.flatnonzero((values != 0) & (values != 1))  # NaN included
        if len(wrong):
            raise self.error(f"{name} at step {wrong[0]}: expected 0 or 1, got {values[wrong[0]]}")
        return values.astype(bool, copy=False)
