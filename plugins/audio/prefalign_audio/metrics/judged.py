"""What the metrics that look through an encoder share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from prefalign.interfaces import Encoder, Media, PrefalignError
from prefalign_audio.metrics.functional.frechet import checked_features
from prefalign_audio.metrics.independence import ensure_independent_model

Sounds = Sequence[Media] | Tensor


class JudgedMetric(Metric):
    """A metric over the features of an encoder, which is kept apart from the models that training used.

    Args:
        encoder: the encoder, or the width D of features that are computed elsewhere.
        trainers: fingerprints of the models that ranked, rewarded or filtered the training data.
        allow_trainer: judge with one of them all the same, with a warning.
        kwargs: of torchmetrics' `Metric`.

    Attributes:
        width: D.

    Raises:
        PrefalignError: if the encoder is one of the trainers; or for trainers without an encoder to compare with.
    """

    is_differentiable = False
    full_state_update = False

    def __init__(
        self, encoder: Encoder | int, trainers: Collection[str] = (), allow_trainer: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        ensure_independent_model(encoder, trainers, allow=allow_trainer)
        self.encoder = None if isinstance(encoder, int) else encoder
        self.width = encoder if isinstance(encoder, int) else encoder.width

    def features(self, sounds: Sounds) -> Tensor:
        """(N, D) float64 features of N sounds; a tensor is taken as features already.

        Raises:
            PrefalignError: for sounds without an encoder, another width, or numbers that are not finite; and what the
                encoder raises.
        """
        if isinstance(sounds, Tensor):
            return checked_features(sounds.detach().to(self.device), self.width)
        if self.encoder is None:
            raise PrefalignError(f"without an encoder, expected features of shape (N, {self.width}), got sounds")
        with torch.no_grad():
            return checked_features(self.encoder(sounds).to(self.device), self.width)
