"""Mel spectrograms in float32: half precision overflows on loud sounds."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from prefalign_audio.sound.torchaudio_build import torchaudio_functional


class MelSpectrogram(nn.Module):
    """Power mel spectrogram with a Hann window, frames centred on multiples of the hop.

    Args:
        rate: sample rate in Hz.
        n_fft, hop: window and step in samples.
        bands: number of mel bands between `f_min` and `f_max` (Hz).
        scale: `htk` or `slaney`.
        norm: `slaney` gives filters of equal area in Hz, `sum` filters whose weights add up to 1, None a peak of 1.
        pad_mode: how the edges are padded, as in `torch.stft`.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        rate: int,
        n_fft: int,
        hop: int,
        bands: int,
        f_min: float,
        f_max: float,
        scale: Literal["htk", "slaney"],
        norm: Literal["slaney", "sum"] | None = None,
        pad_mode: Literal["constant", "reflect"] = "constant",
    ) -> None:
        super().__init__()
        self.n_fft, self.hop, self.pad_mode = n_fft, hop, pad_mode
        area = "slaney" if norm == "slaney" else None
        filters = torchaudio_functional().melscale_fbanks(n_fft // 2 + 1, f_min, f_max, bands, rate, area, scale)
        if norm == "sum":
            filters = filters / filters.sum(0, keepdim=True)
        # Not persistent: derived numbers may differ in the last bit between machines, and fingerprints must not.
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """(frames, bands) power of (T,) samples, frames = 1 + T // hop."""
        spectrum = torch.stft(
            samples, self.n_fft, self.hop, window=self.window, pad_mode=self.pad_mode, return_complex=True
        )
        return spectrum.abs().square().T @ self.filters
