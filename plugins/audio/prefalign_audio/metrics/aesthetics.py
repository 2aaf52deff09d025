"""Aesthetics of sounds: the mean of Audiobox's four scores."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from prefalign.interfaces import Encoder, PrefalignError
from prefalign_audio.metrics.judged import JudgedMetric, Sounds

#: What the scores are called, in the order of `prefalign_audio.encoders.audiobox.AXES`.
NAMES = ("content_enjoyment", "content_usefulness", "production_complexity", "production_quality")


class Aesthetics(JudgedMetric):
    """Mean Audiobox Aesthetics (2502.05139) of sounds.

    `compute()` gives `content_enjoyment`, `content_usefulness`, `production_complexity` and `production_quality`, each
    in about [1, 10] (NaN without sounds), and `clips`.

    Args:
        encoder: by default `AudioboxAesthetics`, whose package fetches its weights when this is built; 4 for scores
            that are computed elsewhere.
        resample, downmix: of the default encoder.
        trainers, allow_trainer: see `JudgedMetric`.
        kwargs: of torchmetrics' `Metric`.

    Raises:
        PrefalignError: if the package or its weights cannot be had; or for an encoder of another number of scores.
    """

    higher_is_better = True

    total: Tensor
    clips: Tensor

    def __init__(
        self,
        encoder: Encoder | int | None = None,
        *,
        resample: bool = False,
        downmix: bool = False,
        trainers: Collection[str] = (),
        allow_trainer: bool = False,
        **kwargs: Any,
    ) -> None:
        if encoder is None:
            from prefalign_audio.encoders.audiobox import AudioboxAesthetics

            encoder = AudioboxAesthetics(resample, downmix)
        elif resample or downmix:
            raise PrefalignError("resample and downmix are settings of the encoder that is given: set them there")
        super().__init__(encoder, trainers, allow_trainer, **kwargs)
        if self.width != len(NAMES):
            raise PrefalignError(f"expected an encoder of {len(NAMES)} scores, got one of {self.width} features")
        self.add_state("total", torch.zeros(len(NAMES), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("clips", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, sounds: Sounds) -> None:
        """Add N sounds, or their (N, 4) scores.

        Raises:
            PrefalignError: see `JudgedMetric.features`.
        """
        scores = self.features(sounds)
        self.total += scores.sum(0)
        self.clips += len(scores)

    def compute(self) -> dict[str, Tensor]:
        """The scalars that the class names."""
        means = dict(zip(NAMES, self.total / self.clips, strict=True))
        return {**means, "clips": self.clips.clone()}
