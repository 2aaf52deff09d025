"""Mean and spread of the mel bands: a feature vector for Fréchet distances that needs no weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prefalign_audio.encoders.base import SoundEncoder, freeze
from prefalign_audio.encoders.mel import MelSpectrogram

#: Added to the power before the logarithm, so that digital silence inside a clip gives a finite number.
FLOOR = 1e-6


class MelStatistics(SoundEncoder):
    """Per mel band, the mean and standard deviation over time of log(power + 1e-6).

    Windows of 32 ms every 10 ms, mel bands (HTK) from 0 Hz to half the rate.

    Args:
        rate: sample rate in Hz; the one numbers are comparable at is 16,000.
        bands: number of mel bands; the feature has twice that width, means before deviations.
        resample, downmix: as for `SoundEncoder`.
    """

    def __init__(self, rate: int = 16_000, bands: int = 64, resample: bool = False, downmix: bool = False) -> None:
        super().__init__(resample, downmix)
        self.rate, self.bands, self.width = rate, bands, 2 * bands
        self.min_seconds = 0.032
        self.mel = MelSpectrogram(rate, round(0.032 * rate), round(0.01 * rate), bands, 0.0, rate / 2, "htk")
        freeze(self)

    def settings(self) -> dict[str, Any]:
        """Rate, bands and edition of the front end."""
        return {"rate": self.rate, "bands": self.bands, "edition": 1}

    def embed(self, samples: Tensor) -> Tensor:
        """(2 · bands,) means and population standard deviations."""
        log_mel = (self.mel(samples) + FLOOR).log()
        return torch.cat([log_mel.mean(0), log_mel.std(0, correction=0)])
