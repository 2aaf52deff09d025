"""Records of judged action chunks, as diffusion policies read them.

A response holds two arrays: `actions` (H, A), the chunk in the robot's units, and `condition/observation` (O,), what
was seen before its first action. Where a response brings no observation, its prompt may, as a list of numbers under
`conditions`, `observation`. Chunks that are scaled to [−1, 1] already may stand under `latents`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefalign.interfaces import Group, PreferenceRecord, Prompt, RecordError, Response, Unary
from prefalign.models.latents import CONDITION, LATENTS, LatentCodec, LatentExample
from prefalign_robotics.policies.diffusion.form import Form, read_form

ACTIONS, OBSERVATION = "actions", "observation"


class ChunkCodec(LatentCodec):
    """Checks chunks and observations against the policy's sizes.

    Args:
        model: the policy's folder or config.
    """

    def __init__(self, model: str | Mapping[str, Any]) -> None:
        super().__init__()
        self.model = model

    @cached_property
    def form(self) -> Form:
        """The policy's sizes, read when the first record comes."""
        return read_form(self.model)

    def fingerprint(self) -> str:
        """Hash of the kind and the sizes."""
        return hashlib.sha256(repr((type(self).__name__, self.form)).encode()).hexdigest()

    def read_media(self, record: PreferenceRecord, index: int) -> Tensor:
        """(H, A) actions of a response, to be scaled by the policy."""
        actions = record.responses[index].arrays.get(ACTIONS)
        if actions is None:
            raise record.error(f"expected an array {ACTIONS!r} (H, A), or {LATENTS!r}", f"responses[{index}].arrays")
        return torch.from_numpy(np.array(actions, dtype=np.float32))

    def encode(self, record: PreferenceRecord) -> LatentExample:
        """One record.

        Raises:
            RecordError: for arrays that are missing, of other shapes, or not finite.
        """
        example = super().encode(record)
        for index, row in enumerate(example.rows):
            place = f"responses[{index}].arrays."
            chunk = LATENTS if row.encoded else ACTIONS
            _check(record, row.data, (self.form.horizon, self.form.action), place + chunk)
            if not row.condition:
                problem = seen_by(row.prompt, self.form.observation)
                if isinstance(problem, str):
                    raise record.error(problem, place + CONDITION + OBSERVATION)
                continue
            if set(row.condition) != {OBSERVATION}:
                names = ", ".join(CONDITION + name for name in sorted(row.condition))
                raise record.error(f"expected the condition {CONDITION + OBSERVATION!r} alone, got {names}", place[:-1])
            row.condition[OBSERVATION] = row.condition[OBSERVATION].float()
            _check(record, row.condition[OBSERVATION], (self.form.observation,), place + CONDITION + OBSERVATION)
        return example


def _check(record: PreferenceRecord, values: Tensor, shape: tuple[int, ...], place: str) -> None:
    if tuple(values.shape) != shape or not bool(values.isfinite().all()):
        raise record.error(f"expected finite numbers {shape}, as the policy has; got {tuple(values.shape)}", place)


def seen_by(prompt: Prompt, size: int) -> list[float] | str:
    """The observation among a prompt's conditions, or what is wrong with it."""
    values = prompt.conditions.get(OBSERVATION)
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != size:
        found = "none" if values is None else f"{len(values)}" if isinstance(values, Sequence) else repr(values)
        return f"expected {size} numbers under the prompt's conditions, {OBSERVATION!r}; got {found}"
    if not all(isinstance(value, (int, float)) and np.isfinite(value) for value in values):
        return f"expected finite numbers under the prompt's conditions, {OBSERVATION!r}"
    return [float(value) for value in values]


def chunk_record(
    name: str, task: str, observation: np.ndarray, chunks: np.ndarray, returns: np.ndarray | None = None
) -> PreferenceRecord:
    """A record of chunks that answer one observation.

    Args:
        name: the record's id.
        task: what was to be done.
        observation: (O,) what was seen.
        chunks: (C, H, A) actions in the robot's units.
        returns: (C,) what each earned, which ranks them; equal returns are ties. Without them the chunks are
            demonstrations: judged desirable, and compared with nothing.

    Raises:
        RecordError: for returns that are not finite, or not one for each chunk.
    """
    if returns is not None and (len(returns) != len(chunks) or not np.isfinite(returns).all()):
        problem = f"expected a finite return for each of {len(chunks)} chunks, got {np.asarray(returns).tolist()}"
        raise RecordError(problem, field="verdict", record_id=name)
    seen = np.asarray(observation, dtype=np.float32)
    responses = tuple(
        Response(
            arrays={ACTIONS: np.asarray(chunk, dtype=np.float32), CONDITION + OBSERVATION: seen},
            scores={} if returns is None else {"return": float(returns[index])},
        )
        for index, chunk in enumerate(chunks)
    )
    verdict = Unary((True,) * len(chunks)) if returns is None else Group(tuple(map(float, returns)))
    return PreferenceRecord(id=name, prompt=Prompt(text=task), responses=responses, verdict=verdict, source=task)
