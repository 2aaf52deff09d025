"""CLAP score: does the sound match its caption?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torchmetrics import Metric

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.encoders.base import SoundEncoder, TextEncoder
from prefalign_audio.encoders.clap import ClapSound, ClapText
from prefalign_audio.metrics.independence import ensure_independent_model


class CLAPScore(Metric):
    """Mean cosine of the CLAP vectors of sounds and of their captions, in [-1, 1].

    `compute()` gives `clap_score/CHECKPOINT` and `clips`. The checkpoint is part of the name because checkpoints differ
    by more than most gains do. Sounds at another rate than the model's own (48,000 Hz) are refused, since a resampled
    clip lacks what lay above its old Nyquist frequency and scores lower for it; so are several channels and silence.

    Args:
        source: id or folder of the model; also what the result is named after.
        resample: bring sounds to the model's rate all the same.
        downmix: take the mean of several channels.
        sound, text: the two halves, where they are loaded already; else they are loaded from `source`.
        trainers, allow_trainer: see `JudgedMetric`; the sound half's fingerprint is compared.
        kwargs: of torchmetrics' `Metric`.

    Raises:
        PrefalignError: if there is no such model, only one half is given, or it is one of the trainers.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    total: Tensor
    clips: Tensor

    def __init__(
        self,
        source: str,
        *,
        resample: bool = False,
        downmix: bool = False,
        sound: SoundEncoder | None = None,
        text: TextEncoder | None = None,
        trainers: Collection[str] = (),
        allow_trainer: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if sound is None and text is None:
            sound = ClapSound(source, resample, downmix)
            text = ClapText(source, network=sound.network)
        elif sound is None or text is None:
            raise PrefalignError("give both halves of the model, sound and text, or neither")
        elif resample or downmix:
            raise PrefalignError("resample and downmix are settings of the sound half that is given: set them there")
        ensure_independent_model(sound, trainers, allow=allow_trainer)
        self.source, self.sound, self.text = source, sound, text
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("clips", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def scores(self, sounds: Sequence[Media], captions: Sequence[str]) -> Tensor:
        """(N,) cosines of N sounds with their captions, float32.

        Raises:
            PrefalignError: for another number of captions; SoundError for a sound that cannot be used.
        """
        if len(sounds) != len(captions):
            raise PrefalignError(f"expected one caption for each of {len(sounds)} sounds, got {len(captions)}")
        with torch.no_grad():
            return cosine_similarity(self.sound(sounds), self.text(captions))

    def update(self, sounds: Sequence[Media], captions: Sequence[str]) -> None:
        """Add N sounds and their captions.

        Raises:
            PrefalignError: see `scores`.
        """
        scores = self.scores(sounds, captions)
        self.total += scores.double().sum()
        self.clips += len(scores)

    def compute(self) -> dict[str, Tensor]:
        """The scalars that the class names."""
        name = self.source.rstrip("/").rpartition("/")[2]
        return {f"clap_score/{name}": (self.total / self.clips).float(), "clips": self.clips.clone()}
