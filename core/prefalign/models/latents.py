"""Records to latents: the codec of denoisers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefalign.interfaces import Batch, PreferenceRecord, Prompt, Relations, Response

#: The array of a response that holds its latents.
LATENTS = "latents"

#: Arrays of a response whose names begin so hold its condition, already encoded.
CONDITION = "condition/"


@dataclass
class LatentRow:
    """One response.

    Attributes:
        data: its latents, or what the family's autoencoder reads.
        encoded: whether `data` are latents already.
        prompt: what it answers.
        condition: the prompt's encoded condition by name, where the record brings it.
        weights: (F,) weight of each frame; None for all 1.
        key: hash of all that the network's answer depends on.
    """

    data: Tensor
    encoded: bool
    prompt: Prompt
    condition: dict[str, Tensor] = field(default_factory=dict)
    weights: Tensor | None = None
    key: str = ""


@dataclass
class LatentExample:
    """One encoded record: a row per response."""

    record: PreferenceRecord
    rows: list[LatentRow]


class LatentCodec:
    """Reads the responses' latents from their array `latents`; subclasses read media as well.

    Args:
        frame_axis: axis of a latent along which lengths may differ; shorter ones are padded and masked. None where all
            have one shape.
    """

    def __init__(self, frame_axis: int | None = None) -> None:
        self.frame_axis = frame_axis

    def fingerprint(self) -> str:
        """Hash of what besides the record decides the encoding."""
        return hashlib.sha256(repr((type(self).__name__, self.frame_axis)).encode()).hexdigest()

    def read_media(self, record: PreferenceRecord, index: int) -> Tensor:
        """What the autoencoder reads of response `index`, which brings no latents.

        Raises:
            RecordError: this codec reads latents only.
        """
        problem = f"this denoiser reads latents only: give the response an array named {LATENTS!r}"
        raise record.error(problem, f"responses[{index}]")

    def encode(self, record: PreferenceRecord) -> LatentExample:
        """One record as latents or media tensors, on the CPU.

        Raises:
            RecordError: for responses without latents (or media that this codec can read), latents that are not
                finite, and segments on another axis than `frame`.
        """
        rows = []
        for index, response in enumerate(record.responses):
            encoded = LATENTS in response.arrays
            data = self._latents(record, index) if encoded else self.read_media(record, index)
            condition = {
                name.removeprefix(CONDITION): torch.from_numpy(np.array(value))
                for name, value in response.arrays.items()
                if name.startswith(CONDITION)
            }
            prompt = record.context(index)
            row = LatentRow(data, encoded, prompt, condition, self._weights(record, index, data))
            row.key = _key(row)
            rows.append(row)
        return LatentExample(record, rows)

    def _latents(self, record: PreferenceRecord, index: int) -> Tensor:
        latents = torch.from_numpy(np.array(record.responses[index].arrays[LATENTS], dtype=np.float32))
        if not latents.numel() or not bool(latents.isfinite().all()):
            problem = "the latents are empty" if not latents.numel() else "the latents have values that are not finite"
            raise record.error(problem, f"responses[{index}].arrays.{LATENTS}")
        return latents

    def _weights(self, record: PreferenceRecord, index: int, data: Tensor) -> Tensor | None:
        """Frame weights from the response's segments."""
        response: Response = record.responses[index]
        if not response.segments:
            return None
        place = f"responses[{index}].segments"
        if self.frame_axis is None or LATENTS not in response.arrays:
            raise record.error("segments need latents with a frame axis, which this response has not", place)
        weights = torch.ones(data.shape[self.frame_axis])
        for segment in response.segments:
            if segment.axis != "frame" or segment.start >= len(weights):
                problem = f"expected a segment on the axis 'frame' within {len(weights)} frames, got {segment}"
                raise record.error(problem, place)
            weights[segment.start : segment.stop] = segment.weight
        return weights

    def collate(self, examples: Sequence[LatentExample], needs: frozenset[str] = frozenset()) -> Batch:
        """Rows in the order of the records and their responses.

        Inputs of the batch: `latents` or `media` (N, …), padded; `frame_weights` (N, F), 0 on padding, where lengths
        differ or weights are given; `prompts`, a list of N; `condition`, a mapping by name to a list of N tensors,
        where the records bring it. With `mismatched` in `needs`, one row per record is appended that pairs its first
        prompt with the first response of the next record.

        Raises:
            RecordError: for shapes that cannot stand in one batch, or a mixture of latents and media.
        """
        rows = [row for example in examples for row in example.rows]
        owners = [example.record for example in examples for _ in example.rows]
        extra = 0
        if "mismatched" in needs:
            extra = len(examples)
            for mine, other in zip(examples, [*examples[1:], examples[0]], strict=True):
                theirs, prompt = other.rows[0], mine.rows[0]
                row = LatentRow(theirs.data, theirs.encoded, prompt.prompt, prompt.condition, theirs.weights)
                row.key = _key(row)
                rows.append(row)
                owners.append(mine.record)
        inputs: dict[str, object] = {"prompts": [row.prompt for row in rows]}
        self._check_alike(rows, owners)
        inputs[LATENTS if rows[0].encoded else "media"] = self._padded(rows, inputs)
        if rows[0].condition:
            inputs["condition"] = {name: [row.condition[name] for row in rows] for name in rows[0].condition}
        relations = Relations.from_records([example.record for example in examples], mismatched=extra)
        return Batch(inputs, relations, [row.key for row in rows])

    def _check_alike(self, rows: Sequence[LatentRow], owners: Sequence[PreferenceRecord]) -> None:
        def form(row: LatentRow) -> tuple[object, ...]:
            shape = list(row.data.shape)
            if row.encoded and self.frame_axis is not None:
                shape[self.frame_axis] = -1
            return row.encoded, tuple(shape), tuple(sorted(row.condition))

        for row, owner in zip(rows, owners, strict=True):
            if form(row) != form(rows[0]):
                kinds = [
                    f"{'latents' if encoded else 'media'} of shape {shape} with conditions {names}"
                    for encoded, shape, names in (form(row), form(rows[0]))
                ]
                raise owner.error(f"{kinds[0]}, beside {kinds[1]} of record {owners[0].id!r}", "responses")

    def _padded(self, rows: Sequence[LatentRow], inputs: dict[str, object]) -> Tensor:
        if not rows[0].encoded or self.frame_axis is None:
            return torch.stack([row.data for row in rows])
        frames = [row.data.shape[self.frame_axis] for row in rows]
        weights = torch.zeros(len(rows), max(frames))
        moved = [row.data.movedim(self.frame_axis, 0) for row in rows]
        padded = torch.zeros(len(rows), max(frames), *moved[0].shape[1:])
        for index, (row, data) in enumerate(zip(rows, moved, strict=True)):
            padded[index, : len(data)] = data
            weights[index, : len(data)] = 1.0 if row.weights is None else row.weights
        if len(set(frames)) > 1 or any(row.weights is not None for row in rows):
            inputs["frame_weights"] = weights
        return padded.movedim(1, 1 + self.frame_axis % rows[0].data.ndim)


def _key(row: LatentRow) -> str:
    """Hash of all that decides a row's error: prompt, data, conditions, and the frames' weights."""
    digest = hashlib.sha256(json.dumps(_plain(row.prompt), sort_keys=True, default=_bytes).encode())
    parts: Mapping[str, Any] = {"data": row.data, "weights": row.weights, **row.condition}
    for name in sorted(parts):
        value = parts[name]
        if value is not None:
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _plain(prompt: Prompt) -> dict[str, Any]:
    return {name: value for name, value in asdict(prompt).items() if value}


def _bytes(value: object) -> str:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else repr(value)
