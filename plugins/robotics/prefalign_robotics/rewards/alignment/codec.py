"""Records to padded steps: the light half of the rewards by transport, without weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from prefalign.interfaces import Batch, PrefalignError, PreferenceRecord, Relations, Response
from prefalign_robotics.rewards.codec import checked_steps


@dataclass(frozen=True, eq=False)
class Steps:
    """One trajectory.

    Attributes:
        values: (T, F) float32.
        key: hash of them.
    """

    values: Tensor
    key: str


@dataclass(frozen=True, eq=False)
class StepsExample:
    """One encoded record.

    Attributes:
        record: where it comes from.
        rows: a trajectory per response.
        anchor: what the responses are compared with; None where the codec asks for none.
    """

    record: PreferenceRecord
    rows: tuple[Steps, ...]
    anchor: Steps | None


class StepsCodec:
    """Records whose responses, and reference answer if that is the anchor, carry an array of steps.

    A triplet of RAPL is a record of two responses whose `reference_answer` is the anchor: a trajectory that is trusted
    to be good. So a reward without anchors learns from the same records, and a ranking of more than two is fine too.

    Args:
        array: name of the array (T, F).
        size: F.
        every: keep the first of every so many steps.
        anchored: whether records need an anchor.

    Raises:
        PrefalignError: for numbers below 1.
    """

    def __init__(self, array: str, size: int, every: int = 1, anchored: bool = True) -> None:
        for name, number in (("size", size), ("every", every)):
            if number < 1:
                raise PrefalignError(f"expected {name} of at least 1, got {number}")
        self.array, self.size, self.every, self.anchored = array, size, every, anchored

    def fingerprint(self) -> str:
        """Hash of the settings."""
        parts = (type(self).__name__, self.array, self.size, self.every, self.anchored)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def encode(self, record: PreferenceRecord) -> StepsExample:
        """One record as trajectories.

        Raises:
            RecordError: for a record without the anchor that is asked for; a trajectory without the array, or one of
                another shape or width, without a step, or with values that are no finite float32 numbers.
        """
        anchor = None
        if self.anchored:
            if record.reference_answer is None:
                raise record.error(
                    "expected an anchor that the responses are compared with; rankings of three or more become such "
                    "records by prefalign_robotics.rewards.alignment.triplets.anchored",
                    "reference_answer",
                )
            anchor = self._steps(record, record.reference_answer, "reference_answer")
        rows = (self._steps(record, response, f"responses[{i}]") for i, response in enumerate(record.responses))
        return StepsExample(record, tuple(rows), anchor)

    def _steps(self, record: PreferenceRecord, response: Response, owner: str) -> Steps:
        place, arrays = f"{owner}.arrays.{self.array}", response.arrays
        if self.array not in arrays:
            raise record.error(f"expected an array of shape (steps, {self.size}); there are {sorted(arrays)}", place)
        try:
            found = checked_steps(arrays[self.array], self.size)
        except PrefalignError as error:
            raise record.error(str(error), place) from None
        found = np.ascontiguousarray(found[:: self.every])
        digest = hashlib.sha256(str(found.shape).encode() + found.tobytes())
        return Steps(torch.from_numpy(found), digest.hexdigest())

    def collate(self, examples: Sequence[StepsExample], needs: frozenset[str] = frozenset()) -> Batch:
        """One batch of N responses, and of R anchors after them where there are any.

        Its inputs are `steps` (N + R, T, F), 0 after a trajectory's end, `mask` (N + R, T), and with anchors `anchor`
        (N,), the row that a response is compared with.
        """
        rows = [row for example in examples for row in example.rows]
        anchors = [example.anchor for example in examples if example.anchor is not None]
        relations, keys = Relations.from_records([example.record for example in examples]), [row.key for row in rows]
        inputs: dict[str, object] = {}
        if self.anchored:
            keys = [row.key + anchors[of].key for row, of in zip(rows, relations.record.tolist(), strict=True)]
            inputs["anchor"] = len(rows) + relations.record
        values = [one.values for one in (*rows, *anchors)]
        lengths = torch.tensor([len(one) for one in values])
        inputs["steps"] = pad_sequence(values, batch_first=True)
        inputs["mask"] = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
        return Batch(inputs, relations, keys)
