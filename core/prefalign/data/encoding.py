"""A stage that runs a denoiser's frozen parts once: training then loads neither autoencoder nor text encoder work.

    records with media and prompts → the same records with arrays `latents` and `condition/<name>`

`prefalign.models.latents.LatentCodec` reads these arrays in the place of media and prompts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from prefalign.functional.fingerprint import fingerprint
from prefalign.interfaces import PrefalignError, PreferenceRecord, Stage, StageReport
from prefalign.models.condition import Condition
from prefalign.models.denoiser import Denoiser
from prefalign.models.latents import CONDITION, LATENTS


class EncodeLatents(Stage):
    """Give each response its latents, and the condition of its prompt, as arrays.

    Args:
        denoiser: the family that will be trained. Its network takes no part.
        conditions: encode prompts as well. Leave it out if the text encoder is trained, or to save disk.
        keep_media: keep the media, which training then does not read.
    """

    def __init__(self, denoiser: Denoiser, conditions: bool = True, keep_media: bool = False) -> None:
        self.denoiser, self.conditions, self.keep_media = denoiser, conditions, keep_media

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The encoded records. What has latents already keeps them.

        Raises:
            RecordError: for media that the family cannot read.
            PrefalignError: for a family whose conditions cannot stand in arrays.
        """
        self.denoiser.configure_model()
        codec = self.denoiser.codec()
        for record in records:
            report.seen += 1
            report.made += 1
            rows = codec.encode(record).rows
            responses = []
            for index, (response, row) in enumerate(zip(record.responses, rows, strict=True)):
                latents = row.data if row.encoded else self.denoiser.encode(row.data[None])[0]
                arrays = {**response.arrays, LATENTS: latents.float().cpu().numpy()}
                arrays.update(self._condition(record, index) if self.conditions and not row.condition else {})
                media = response.media if self.keep_media else ()
                responses.append(dataclasses.replace(response, arrays=arrays, media=media))
            yield dataclasses.replace(record, responses=tuple(responses))

    def _condition(self, record: PreferenceRecord, index: int) -> dict[str, np.ndarray]:
        condition: Condition = self.denoiser.condition([record.context(index)])
        if condition.constants:
            raise PrefalignError(
                f"conditions of {type(self.denoiser).__name__} have parts that are not tensors "
                f"({', '.join(condition.constants)}), which arrays cannot hold; use conditions=False"
            )
        return {
            CONDITION + name: (value[0].float() if value.is_floating_point() else value[0]).cpu().numpy()
            for name, value in condition.tensors.items()
        }

    def settings(self) -> dict[str, Any]:
        """What decides the output: the weights of the frozen parts, and how media are read."""
        self.denoiser.configure_model()
        return {
            "denoiser": type(self.denoiser).__name__,
            "encoding": self.denoiser.codec().fingerprint(),
            "frozen": [fingerprint(part) for part in self.denoiser.frozen_parts()],
            "conditions": self.conditions,
            "keep_media": self.keep_media,
        }
