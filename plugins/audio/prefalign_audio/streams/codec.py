"""Records to rows of delayed streams.

Axes: N rows, C distinct prompts, K streams, T frames, S steps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefalign.interfaces import Batch, PrefalignError, PreferenceRecord, RecordError, Relations, Response, Segment
from prefalign_audio.streams.model import Conditioner, StreamLayout

#: Array of a response that holds its codes (K, T).
CODES = "codes"

#: Array of a response, true where its codes were cut off before the song came to its end.
UNFINISHED = "unfinished"

#: What the condition's tensors are called in a batch, before their own names.
CONDITION = "condition."


@dataclass
class StreamRow:
    """One song under one prompt.

    Attributes:
        ids: (K, S + 1), laid out as `prefalign_audio.streams.model` says.
        mask: (K, S) the predictions that are scored: codes, and the leading stream's end.
        weights: (K, S) of the scored predictions.
        condition: the encoded prompt; rows of one prompt hold the same object.
        key: hash of all that the model sees in this row.
    """

    ids: Tensor
    mask: Tensor
    weights: Tensor
    condition: Mapping[str, Tensor]
    key: str


@dataclass
class StreamExample:
    """One encoded record: a row per response."""

    record: PreferenceRecord
    rows: list[StreamRow]


class StreamCodec:
    """Reads songs as codes of K streams.

    A response brings an array `codes` (K, T) of integers, or one (T,) array under the name of each stream. Its segments
    are on the axis `frame` and weigh all streams alike.

    Args:
        layout: of the model.
        conditioner: of the model; it reads the prompts.
        max_frames: most frames of a song; longer ones are refused, since half a song is no song.
    """

    def __init__(self, layout: StreamLayout, conditioner: Conditioner, max_frames: int | None = None) -> None:
        self.layout, self.conditioner, self.max_frames = layout, conditioner, max_frames

    def fingerprint(self) -> str:
        """Hash of what besides the record decides the encoding."""
        parts = (repr(self.layout), self.conditioner.fingerprint(), self.max_frames)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def encode(self, record: PreferenceRecord) -> StreamExample:
        """One record as rows, a row per response.

        Raises:
            RecordError: for codes or prompts that the model cannot represent, with the record's id.
        """
        conditions: dict[int, Mapping[str, Tensor]] = {}
        rows = []
        for index, response in enumerate(record.responses):
            prompt = record.context(index)
            if id(prompt) not in conditions:
                try:
                    conditions[id(prompt)] = self.conditioner.encode(prompt)
                except RecordError:
                    raise
                except PrefalignError as error:
                    raise record.error(str(error), "prompt.conditions") from error
            try:
                codes = self.codes(response)
                weights = _frame_weights(response.segments, codes.shape[1])
            except PrefalignError as error:
                raise record.error(str(error), f"responses[{index}]") from error
            finished = not np.any(response.arrays.get(UNFINISHED, False))
            rows.append(self._row(torch.from_numpy(codes), weights, finished, conditions[id(prompt)]))
        return StreamExample(record, rows)

    def codes(self, response: Response) -> np.ndarray:
        """(K, T) int64 the codes of a song.

        Raises:
            PrefalignError: for streams that are missing, of unequal length or empty, and for codes that are none.
        """
        layout, names = self.layout, self.layout.names
        if CODES in response.arrays:
            codes = np.asarray(response.arrays[CODES])
        elif names and any(name in response.arrays for name in names):
            codes = _stacked({name: response.arrays.get(name) for name in names})
        else:
            also = f", or one array for each of {', '.join(names)}" if names else ""
            raise PrefalignError(f"expected an array {CODES!r} of shape (streams, frames){also}")
        if codes.ndim != 2 or len(codes) != layout.pattern.streams or not codes.shape[1]:
            raise PrefalignError(
                f"expected codes of shape ({layout.pattern.streams}, frames) with at least one frame, got "
                f"{tuple(codes.shape)}"
            )
        if not np.issubdtype(codes.dtype, np.integer):
            raise PrefalignError(f"expected codes as integers, got {codes.dtype}")
        limits = np.array(layout.codes)[:, None]
        if (wrong := (codes < 0) | (codes >= limits)).any():
            stream, frame = np.argwhere(wrong)[0]
            raise PrefalignError(
                f"code {codes[stream, frame]} in frame {frame} of stream {stream}; "
                f"expected 0 to {limits[stream, 0] - 1}"
            )
        if self.max_frames is not None and codes.shape[1] > self.max_frames:
            raise PrefalignError(
                f"{codes.shape[1]} frames, and max_frames is {self.max_frames}: cut the song into phrases, or raise it"
            )
        return codes.astype(np.int64)

    def _row(
        self, codes: Tensor, frame_weights: np.ndarray, finished: bool, condition: Mapping[str, Tensor]
    ) -> StreamRow:
        layout = self.layout
        weights = torch.from_numpy(frame_weights).float().expand(len(codes), -1)
        scored = torch.ones(codes.shape, dtype=torch.bool)
        if layout.end is not None and finished:
            codes = torch.cat([codes, torch.tensor(layout.end)[:, None]], dim=1)
            # All streams end together, so one decision is scored: that of the stream which comes first.
            decides = torch.zeros(len(codes), 1, dtype=torch.bool)
            decides[layout.leading] = True
            scored = torch.cat([scored, decides], dim=1)
            weights = torch.cat([weights, weights.new_ones(len(codes), 1)], dim=1)
        pattern = layout.pattern
        mask = pattern.apply(scored[None], 0)[0]
        # Steps behind the last scored one hold ends that nothing is predicted from.
        steps = int(mask.any(0).nonzero().max()) + 1
        delayed = pattern.apply(codes[None], torch.tensor(layout.fill))[0]
        ids = torch.cat([torch.tensor(layout.start)[:, None], delayed], dim=1)[:, : steps + 1]
        key = _key(ids, condition)
        return StreamRow(ids, mask[:, :steps], pattern.apply(weights[None], 0)[0][:, :steps], condition, key)

    def collate(self, examples: Sequence[StreamExample], needs: frozenset[str] = frozenset()) -> Batch:
        """Rows padded on the right, in the order of the records and their responses.

        Inputs of the batch: `ids` (N, K, S + 1), `present` (N, S + 1) bool, `mask` and `weights` (N, K, S), `prompt`
        (N,) which of the C distinct prompts a row answers, and the prompts' tensors under `condition.*`.
        """
        rows = [row for example in examples for row in example.rows]
        width = max(row.ids.shape[1] for row in rows)
        fill = torch.tensor(self.layout.fill)[:, None]
        inputs: dict[str, Any] = {
            "ids": torch.stack(
                [torch.cat([row.ids, fill.expand(-1, width - row.ids.shape[1])], dim=1) for row in rows]
            ),
            "present": torch.stack([torch.arange(width) < row.ids.shape[1] for row in rows]),
            "mask": torch.stack([_widened(row.mask, width - 1) for row in rows]),
            "weights": torch.stack([_widened(row.weights, width - 1) for row in rows]),
        }
        distinct = {id(row.condition): row.condition for row in rows}
        places = {key: index for index, key in enumerate(distinct)}
        inputs["prompt"] = torch.tensor([places[id(row.condition)] for row in rows])
        collated = self.conditioner.collate(list(distinct.values()))
        inputs |= {f"{CONDITION}{name}": value for name, value in collated.items()}
        relations = Relations.from_records([example.record for example in examples])
        return Batch(inputs, relations, [row.key for row in rows])


def condition_inputs(inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """The conditioner's tensors of a batch, under their own names."""
    return {name.removeprefix(CONDITION): value for name, value in inputs.items() if name.startswith(CONDITION)}


def _stacked(streams: Mapping[str, np.ndarray | None]) -> np.ndarray:
    missing = [name for name, codes in streams.items() if codes is None]
    if missing:
        raise PrefalignError(f"the stream {missing[0]!r} is missing; expected one array for each of {list(streams)}")
    arrays = {name: np.asarray(codes) for name, codes in streams.items()}
    lengths = {name: array.shape for name, array in arrays.items()}
    if any(array.ndim != 1 for array in arrays.values()) or len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {shape}" for name, shape in lengths.items())
        raise PrefalignError(f"expected streams of equal length, one number a frame; got {shown}")
    return np.stack(list(arrays.values()))


def _frame_weights(segments: Sequence[Segment], frames: int) -> np.ndarray:
    weights = np.ones(frames)
    for segment in segments:
        if segment.axis != "frame":
            raise PrefalignError(f"a model of streams reads segments on the axis 'frame', not {segment.axis!r}")
        if segment.stop > frames:
            raise PrefalignError(f"segment [{segment.start}, {segment.stop}) goes past the song's {frames} frames")
        weights[segment.start : segment.stop] = segment.weight
    return weights


def _widened(rows: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(rows, (0, width - rows.shape[1]))


def _key(ids: Tensor, condition: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(ids.numpy().tobytes())
    for name in sorted(condition):
        value = condition[name]
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
