"""Audiobox Aesthetics (2502.05139): four scores of a sound, by its own package (code and weights CC BY 4.0)."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign_audio.encoders.base import SoundEncoder, freeze

#: Content enjoyment, content usefulness, production complexity, production quality.
AXES = ("CE", "CU", "PC", "PQ")


class AudioboxAesthetics(SoundEncoder):
    """Four numbers a clip, each in about [1, 10]: enjoyment, usefulness, complexity, production quality.

    16,000 Hz. Clips are heard in windows of 10 s, whose scores are averaged by their lengths.

    Args:
        checkpoint: file of the weights; without one the package fetches `facebook/audiobox-aesthetics` from the hub, or
            finds it in the hub's cache.
        resample, downmix: as for `SoundEncoder`.

    Raises:
        PrefalignError: if the package is not installed, or the weights cannot be had.
    """

    rate, width = 16_000, len(AXES)

    def __init__(self, resample: bool = False, downmix: bool = False, checkpoint: Path | str | None = None) -> None:
        super().__init__(resample, downmix)
        try:
            module = importlib.import_module("audiobox_aesthetics.infer")
        except ImportError as error:
            raise PrefalignError(
                f'audiobox-aesthetics cannot be imported ({error}): pip install "prefalign-audio[aesthetics]"'
            ) from None
        if checkpoint is not None and not Path(checkpoint).is_file():
            raise PrefalignError(f"{checkpoint}: no such file; expected the weights of Audiobox Aesthetics")
        try:
            self._predictor: Any = module.initialize_predictor(None if checkpoint is None else str(checkpoint))
        except Exception as error:  # whatever the hub, its client or torch make of an absent or damaged file
            raise PrefalignError(
                f"the weights of Audiobox Aesthetics cannot be had ({error}); let them be fetched once, or give "
                "checkpoint"
            ) from error
        self.network = self._predictor.model
        freeze(self)

    def settings(self) -> dict[str, Any]:
        """The order of the scores."""
        return {"edition": 1, "axes": AXES}

    def embed(self, samples: Tensor) -> Tensor:
        """(4,) scores in the order of `AXES`."""
        self._predictor.device = self.device  # the package chose one when it was built; ours may have been moved
        (found,) = self._predictor.forward([{"path": samples[None].cpu(), "sample_rate": self.rate}])
        return torch.tensor([float(found[axis]) for axis in AXES])
