"""Similarity of songs to reference sounds, under any encoder."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from prefalign.interfaces import Encoder, PrefalignError
from prefalign_audio.encoders.load import load_encoder
from prefalign_audio.metrics.judged import JudgedMetric, Sounds


class SoundSimilarity(JudgedMetric):
    """Mean cosine of sounds' features with those of their references, as MuQ-A compares songs with prompts' sounds.

    `compute()` gives `sound_similarity` in [-1, 1] (NaN without sounds) and `clips`. A cosine is a matter of its
    encoder; the figures of two do not compare.

    Args:
        encoder: a name that `load_encoder` knows, such as `musicnn` or `clap:ID`; an encoder; or the width D of
            features that are computed elsewhere.
        resample, downmix: of an encoder by name.
        trainers, allow_trainer: see `JudgedMetric`.
        kwargs: of torchmetrics' `Metric`.

    Raises:
        PrefalignError: for an unknown encoder, one that cannot be had or is one of the trainers, or of one feature.
    """

    higher_is_better = True

    total: Tensor
    clips: Tensor

    def __init__(
        self,
        encoder: str | Encoder | int,
        *,
        resample: bool = False,
        downmix: bool = False,
        trainers: Collection[str] = (),
        allow_trainer: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(encoder, str):
            encoder = load_encoder(encoder, resample, downmix)
        elif resample or downmix:
            raise PrefalignError("resample and downmix are settings of the encoder that is given: set them there")
        super().__init__(encoder, trainers, allow_trainer, **kwargs)
        if self.width < 2:
            raise PrefalignError("the encoder gives one number, and a cosine needs at least two")
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("clips", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def scores(self, sounds: Sounds, references: Sounds) -> Tensor:
        """(N,) float64 cosines of N sounds, or their (N, D) features, with N references; 0 for features of zeros.

        Raises:
            PrefalignError: for another number of references; see also `JudgedMetric.features`.
        """
        if len(sounds) != len(references):
            raise PrefalignError(f"expected one reference for each of {len(sounds)} sounds, got {len(references)}")
        return cosine_similarity(self.features(sounds), self.features(references), dim=1)

    def update(self, sounds: Sounds, references: Sounds) -> None:
        """Add N sounds and their references.

        Raises:
            PrefalignError: see `scores`.
        """
        scores = self.scores(sounds, references)
        self.total += scores.sum()
        self.clips += len(scores)

    def compute(self) -> dict[str, Tensor]:
        """The scalars that the class names."""
        return {"sound_similarity": self.total / self.clips, "clips": self.clips.clone()}
