"""A sound in memory, which never loses its sample rate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.torchaudio_build import torchaudio_functional


@dataclass(frozen=True, eq=False)
class Waveform:
    """Samples and the rate at which they were taken.

    Attributes:
        samples: (channels, frames) float32 with at least one of each, all finite; nominal range [-1, 1]. Samples beyond
            it are legal (files of floats hold them) and counted by the guard.
        rate: frames per second, Hz, above 0.

    Raises:
        SoundError: for another shape or dtype, without frames, or for samples that are not finite.
    """

    samples: Tensor
    rate: int

    def __post_init__(self) -> None:
        if not isinstance(self.rate, int) or isinstance(self.rate, bool) or self.rate <= 0:
            raise SoundError(f"expected a sample rate of whole Hz above 0, got {self.rate!r}")
        if not isinstance(self.samples, Tensor) or self.samples.dtype != torch.float32:
            found = self.samples.dtype if isinstance(self.samples, Tensor) else type(self.samples).__name__
            raise SoundError(f"expected samples as a float32 tensor in [-1, 1], got {found}")
        if self.samples.ndim != 2:
            raise SoundError(f"expected samples of shape (channels, frames), got {tuple(self.samples.shape)}")
        if not self.samples.numel():
            raise SoundError(f"the sound is empty: its shape (channels, frames) is {tuple(self.samples.shape)}")
        wrong = int((~self.samples.isfinite()).sum())
        if wrong:
            raise SoundError(f"{wrong} of {self.samples.numel()} samples are NaN or infinite")

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.samples.shape[0]

    @property
    def frames(self) -> int:
        """Samples per channel."""
        return self.samples.shape[1]

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.frames / self.rate

    def mono(self) -> Waveform:
        """The mean of the channels, as one channel."""
        return self if self.channels == 1 else Waveform(self.samples.mean(0, keepdim=True), self.rate)

    def resampled(self, rate: int) -> Waveform:
        """The same sound at another rate (Hz), band-limited by a windowed sinc; ⌈frames · rate / old rate⌉ frames.

        Raises:
            SoundError: for a rate that is not above 0, or a torchaudio that cannot be imported.
        """
        if rate == self.rate:
            return self
        if rate <= 0:
            raise SoundError(f"expected a sample rate of whole Hz above 0, got {rate!r}")
        return Waveform(torchaudio_functional().resample(self.samples, self.rate, rate), rate)
