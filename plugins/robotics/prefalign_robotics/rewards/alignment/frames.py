"""Features of camera frames by a frozen image model, so that an encoder of a few weights can learn from pictures.

RAPL trains no more than a linear map on a frozen ResNet-18. What is frozen is computed once and kept beside the record:
`features` then takes the place of `frames`, and a `PerceptronEncoder` with `array: features` learns from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from prefalign.interfaces import PrefalignError, PreferenceRecord, Response
from prefalign.models.pretrained import from_pretrained

#: Names of a response's arrays: pictures (T, H, W, 3) uint8, and what the model makes of them (T, F) float32.
FRAMES, FEATURES = "frames", "features"


class FrameFeatures:
    """The mean over places of an image model's last hidden states: pooled maps of a ResNet, tokens of a ViT.

    Not the pooler's output: many checkpoints come without its weights, and Transformers then draws them at random.

    Args:
        source: id or folder of the model for `AutoModel`, with its image processor. No code of a repository is run.
        batch_size: pictures at a time.

    Attributes:
        fingerprint: hash of weights and preprocessing.

    Raises:
        PrefalignError: if there is no such model, or it reads more than images.
    """

    def __init__(self, source: str, batch_size: int = 64) -> None:
        from transformers import AutoImageProcessor, AutoModel

        self.processor = from_pretrained(AutoImageProcessor, source)
        self.network = from_pretrained(AutoModel, source, dtype=torch.float32).requires_grad_(False).eval()
        if self.network.main_input_name != "pixel_values":
            raise PrefalignError(f"{source!r} is a {type(self.network).__name__}; expected a model of images alone")
        if hasattr(self.network.config, "mask_ratio"):
            self.network.config.mask_ratio = 0.0  # masked autoencoders hide most of a picture otherwise, at random
        self.batch_size = batch_size
        digest = hashlib.sha256(self.processor.to_json_string().encode())
        for name, value in sorted(self.network.state_dict().items()):
            digest.update(name.encode() + value.cpu().numpy().tobytes())
        self.fingerprint = digest.hexdigest()

    def extract(self, records: Iterable[PreferenceRecord], every: int = 1) -> Iterator[PreferenceRecord]:
        """Records with `features` in the place of `frames`, in responses and reference answers.

        Trajectories that occur in several records are seen once. Other arrays lose the same steps, if they have as
        many as there are frames.

        Args:
            records: to read.
            every: keep the first of every so many steps.

        Raises:
            RecordError: for a trajectory without frames, or whose frames are no uint8 (T, H, W, 3).
        """
        kept: dict[str, np.ndarray] = {}
        for record in records:
            answer = record.reference_answer
            yield replace(
                record,
                responses=tuple(
                    self._extracted(record, one, f"responses[{number}]", every, kept)
                    for number, one in enumerate(record.responses)
                ),
                reference_answer=answer and self._extracted(record, answer, "reference_answer", every, kept),
                provenance={**record.provenance, FEATURES: self.fingerprint},
            )

    def _extracted(
        self, record: PreferenceRecord, response: Response, owner: str, every: int, kept: dict[str, np.ndarray]
    ) -> Response:
        place, frames = f"{owner}.arrays.{FRAMES}", response.arrays.get(FRAMES)
        if frames is None:
            raise record.error(
                f"expected pictures (steps, height, width, 3); there are {sorted(response.arrays)}", place
            )
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
            raise record.error(
                f"expected pictures (steps, height, width, 3) of uint8, got {frames.shape} {frames.dtype}", place
            )
        others = {
            name: values[::every] if values.ndim and len(values) == len(frames) else values
            for name, values in response.arrays.items()
            if name != FRAMES
        }
        shown = np.ascontiguousarray(frames[::every])
        key = hashlib.sha256(str(shown.shape).encode() + shown.tobytes()).hexdigest()
        if key not in kept:
            kept[key] = self(shown)
        return replace(response, arrays={**others, FEATURES: kept[key]})

    @torch.no_grad()
    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """(T, F) float32 features of pictures (T, H, W, 3) uint8, RGB."""
        found = []
        for start in range(0, len(frames), self.batch_size):
            pictures: Any = self.processor(list(frames[start : start + self.batch_size]), return_tensors="pt")
            states = self.network(pixel_values=pictures["pixel_values"]).last_hidden_state
            # (N, places, F) of a ViT, (N, F, height, width) of a ResNet.
            found.append(states.mean(1) if states.ndim == 3 else states.mean((2, 3)))
        return torch.cat(found).numpy()
