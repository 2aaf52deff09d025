"""Records to padded trajectories: the light half of the rewards, without weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from prefalign.interfaces import Batch, PrefalignError, PreferenceRecord, Relations

#: Names of a response's arrays.
OBSERVATIONS, ACTIONS = "observations", "actions"


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One response: what was seen and done at each of its T steps.

    Attributes:
        observations: (T, O) float32.
        actions: (T, A) float32; action t was taken on observation t.
        key: hash of both.
    """

    observations: Tensor
    actions: Tensor
    key: str


@dataclass(frozen=True, eq=False)
class TrajectoryExample:
    """One encoded record: a trajectory per response."""

    record: PreferenceRecord
    rows: tuple[Trajectory, ...]


class TrajectoryCodec:
    """Records whose responses carry the arrays `observations` (T, O) and `actions` (T, A).

    Args:
        observation_size: O.
        action_size: A.
        every: keep the first of every so many steps. Neighbouring steps say much the same, and a reward summed over
            fewer of them has fewer chances to be wrong.
        max_steps: most steps that are kept of a response; longer ones are refused. None for no bound.

    Raises:
        PrefalignError: for numbers below 1.
    """

    def __init__(self, observation_size: int, action_size: int, every: int = 1, max_steps: int | None = None) -> None:
        numbers = {"observation_size": observation_size, "action_size": action_size, "every": every}
        for name, number in {**numbers, "max_steps": 1 if max_steps is None else max_steps}.items():
            if number < 1:
                raise PrefalignError(f"expected {name} of at least 1, got {number}")
        self.observation_size, self.action_size = observation_size, action_size
        self.every, self.max_steps = every, max_steps

    def fingerprint(self) -> str:
        """Hash of the settings."""
        parts = (type(self).__name__, self.observation_size, self.action_size, self.every, self.max_steps)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def encode(self, record: PreferenceRecord) -> TrajectoryExample:
        """One record as trajectories.

        Raises:
            RecordError: for a response without the two arrays, and arrays of other shapes or widths, of unequal
                lengths, without a step, with too many steps, or with values that are no finite float32 numbers.
        """
        return TrajectoryExample(record, tuple(self._row(record, index) for index in range(len(record.responses))))

    def _row(self, record: PreferenceRecord, index: int) -> Trajectory:
        observations = self._array(record, index, OBSERVATIONS, self.observation_size)
        actions = self._array(record, index, ACTIONS, self.action_size)
        if len(observations) != len(actions):
            raise record.error(
                f"expected an observation for each action, got {len(observations)} and {len(actions)}; an observation "
                "after the last action is left out",
                f"responses[{index}].arrays",
            )
        observations, actions = observations[:: self.every], actions[:: self.every]
        if self.max_steps is not None and len(actions) > self.max_steps:
            raise record.error(
                f"{len(actions)} steps are kept, and the reward reads {self.max_steps} at most; raise max_steps or "
                "every, or cut the segments",
                f"responses[{index}].arrays",
            )
        digest = hashlib.sha256(f"{observations.shape} {actions.shape}".encode())
        digest.update(observations.tobytes())
        digest.update(actions.tobytes())
        return Trajectory(torch.from_numpy(observations), torch.from_numpy(actions), digest.hexdigest())

    @staticmethod
    def _array(record: PreferenceRecord, index: int, name: str, width: int) -> np.ndarray:
        place, arrays = f"responses[{index}].arrays.{name}", record.responses[index].arrays
        if name not in arrays:
            raise record.error(f"expected an array of shape (steps, {width}); there are {sorted(arrays)}", place)
        try:
            return checked_steps(arrays[name], width)
        except PrefalignError as error:
            raise record.error(str(error), place) from None

    def collate(self, examples: Sequence[TrajectoryExample], needs: frozenset[str] = frozenset()) -> Batch:
        """One batch with `observations` (N, T, O), `actions` (N, T, A), 0 after a row's end, and `mask` (N, T)."""
        rows = [row for example in examples for row in example.rows]
        lengths = torch.tensor([len(row.actions) for row in rows])
        inputs: dict[str, object] = {
            OBSERVATIONS: pad_sequence([row.observations for row in rows], batch_first=True),
            ACTIONS: pad_sequence([row.actions for row in rows], batch_first=True),
            "mask": torch.arange(int(lengths.max())) < lengths.unsqueeze(1),
        }
        relations = Relations.from_records([example.record for example in examples])
        return Batch(inputs, relations, [row.key for row in rows])


def checked_steps(values: np.ndarray, size: int) -> np.ndarray:
    """A copy of (T, F) steps as float32.

    Raises:
        PrefalignError: for another shape or width, no step, or values that are no finite float32 numbers.
    """
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] != size or not len(values):
        raise PrefalignError(f"expected shape (steps, {size}) with at least one step, got {values.shape}")
    if values.dtype.kind not in "fiu":
        raise PrefalignError(f"expected real numbers, got dtype {values.dtype}")
    with np.errstate(over="ignore"):  # what does not fit into float32 becomes infinite, and is refused as such
        # A copy: memory-mapped and shared arrays are not writable, and torch wants to be able to write.
        found = np.array(values, dtype=np.float32)
    wrong = np.argwhere(~np.isfinite(found))
    if len(wrong):
        step, number = wrong[0]
        raise PrefalignError(
            f"number {number} at step {step} is {values[step, number]}, which is no finite float32 number "
            f"({len(wrong)} such values in all)"
        )
    return found
