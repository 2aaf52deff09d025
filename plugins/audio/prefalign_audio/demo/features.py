"""Two front ends that turn clips into frames: what the models hear with, and another one for an independent judge.

A trick that fools the policy's own front end need not fool ears that work otherwise, so the second differs in all that
a front end has: spacing and shape of its bands, window, hop, and how loudness is compressed.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from prefalign_audio.demo.clips import CLIP_SAMPLES
from prefalign_audio.demo.sounds import RATE
from prefalign_audio.sound.spectrogram import MelSettings, filterbank

_BATCH = 256  # clips transformed at a time, which bounds the memory


class FrontEnd(Protocol):
    """Turns clips into frames."""

    @property
    def hop(self) -> int:
        """Samples from frame to frame; frame f is centred at sample hop · f."""
        ...

    @property
    def bands(self) -> int:
        """Numbers in a frame."""
        ...

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(clips, 16000) to (clips, 16000 // hop, bands), float32."""
        ...


@dataclass(frozen=True)
class LogMel:
    """Triangular mel bands of 60 to 4,000 Hz on magnitudes, in logarithms of about mean 0 and sd 1.

    Attributes:
        hop: samples.
        window: samples of the Hann window and of the Fourier transform.
        bands: number of them.
    """

    hop: int = 500
    window: int = 1024
    bands: int = 32

    _FLOOR: ClassVar[float] = 0.1  # a little below the background noise, whose magnitude is about 0.35
    _SHIFT: ClassVar[float] = 0.5
    _SCALE: ClassVar[float] = 1.5

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(clips, 16000) to (clips, 32, 32)."""
        parts = []
        for part in waveforms.split(_BATCH):
            magnitude = _spectrum(part, self.window, self.hop, torch.hann_window(self.window)).abs()
            parts.append(self.compress(magnitude @ self.filters()))
        return torch.cat(parts)

    def filters(self) -> Tensor:
        """(bins, bands) float32 weights; each band's sum to 1."""
        triangles = filterbank(
            MelSettings(rate=RATE, window=self.window, hop=self.hop, bands=self.bands, lowest=60.0)
        ).T
        return triangles / triangles.sum(0)

    def compress(self, magnitudes: Tensor) -> Tensor:
        """Features of mel magnitudes."""
        return ((magnitudes + self._FLOOR).log() - self._SHIFT) / self._SCALE

    def expand(self, features: Tensor) -> Tensor:
        """Mel magnitudes of features, the inverse of `compress`; at least 0."""
        return ((features * self._SCALE + self._SHIFT).exp() - self._FLOOR).clamp(min=0)


@dataclass(frozen=True)
class CubeRootERB:
    """Gammatone-shaped bands, equally spaced in ERB rate from 80 to 3,800 Hz, on powers, compressed by the cube root.

    The ear's loudness grows about with the cube root of power; the response is a gammatone filter's of order 4,
    (1 + ((f − f_c)/b)²)^−4 in power, with b = 1.019 ERB(f_c) (Patterson et al. 1992, Glasberg and Moore 1990).

    Attributes:
        hop: samples.
        window: samples of the Hamming window and of the Fourier transform.
        bands: number of them.
    """

    hop: int = 400
    window: int = 512
    bands: int = 40

    _SCALE: ClassVar[float] = 5.0  # brings events to about 1

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(clips, 16000) to (clips, 40, 40)."""
        parts = []
        for part in waveforms.split(_BATCH):
            spectrum = _spectrum(part, self.window, self.hop, torch.hamming_window(self.window))
            parts.append((spectrum.abs().square() @ self.filters()) ** (1 / 3) / self._SCALE)
        return torch.cat(parts)

    def filters(self) -> Tensor:
        """(bins, bands) float32 weights."""
        return _gammatones(self.window, self.bands, 80.0, 3800.0)


def _spectrum(waveforms: Tensor, window: int, hop: int, shape: Tensor) -> Tensor:
    """(clips, frames, bins); the frame after the last whole hop is left out, so that frames tile the clip."""
    spectrum = torch.stft(waveforms, window, hop, window=shape, return_complex=True)
    return spectrum[..., : CLIP_SAMPLES // hop].transpose(1, 2)


@functools.cache
def _gammatones(window: int, bands: int, low: float, high: float) -> Tensor:
    def rate(hertz: float) -> float:
        return 21.4 * math.log10(1 + 0.00437 * hertz)

    frequencies = torch.linspace(0, RATE / 2, window // 2 + 1, dtype=torch.float64)[:, None]
    centres = (10 ** (torch.linspace(rate(low), rate(high), bands, dtype=torch.float64) / 21.4) - 1) / 0.00437
    bandwidths = 1.019 * 24.7 * (0.00437 * centres + 1)
    return (1 + ((frequencies - centres) / bandwidths) ** 2).pow(-4).float()
