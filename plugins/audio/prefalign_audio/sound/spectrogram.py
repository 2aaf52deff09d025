"""Mel spectrograms with every parameter said."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.torchaudio_build import torchaudio_functional


@dataclass(frozen=True, kw_only=True)
class MelSettings:
    """How a spectrogram is taken.

    Attributes:
        rate: sample rate, Hz.
        window: length of the Hann window and of the transform, samples.
        hop: step between windows, samples.
        bands: number of mel bands M.
        lowest, highest: edges of the bands, Hz; `highest` None is half the rate.

    Raises:
        SoundError: for numbers that are not positive, edges that are not 0 <= lowest < highest <= rate / 2, or more
            bands than the window can tell apart.
    """

    rate: int
    window: int = 1024
    hop: int = 160
    bands: int = 64
    lowest: float = 0.0
    highest: float | None = None

    def __post_init__(self) -> None:
        for name in ("rate", "window", "hop", "bands"):
            if getattr(self, name) < 1:
                raise SoundError(f"{name}: expected a whole number above 0, got {getattr(self, name)}")
        if not 0 <= self.lowest < self.upper <= self.rate / 2:
            raise SoundError(
                f"lowest, highest: expected 0 <= lowest < highest <= {self.rate / 2:g} Hz (half the rate), "
                f"got {self.lowest:g} and {self.upper:g}"
            )
        silent = int((filterbank(self).sum(1) == 0).sum())
        if silent:
            raise SoundError(
                f"{silent} of {self.bands} mel bands lie between two of the {self.rate / self.window:g} Hz steps of a "
                f"window of {self.window} samples; take fewer bands or a longer window"
            )

    @property
    def upper(self) -> float:
        """Upper edge, Hz."""
        return self.rate / 2 if self.highest is None else self.highest


def filterbank(settings: MelSettings) -> Tensor:
    """(M, F) triangles of height 1, evenly spaced in mel (HTK), over the F = window // 2 + 1 frequencies."""
    bins, edges = settings.window // 2 + 1, (settings.lowest, settings.upper)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="At least one mel filterbank")  # the settings refuse those
        triangles: Tensor = torchaudio_functional().melscale_fbanks(bins, *edges, settings.bands, settings.rate)
    return triangles.T.contiguous()


def mel_spectrogram(samples: Tensor, settings: MelSettings) -> Tensor:
    """Power in mel bands, |STFT|² summed with the triangles' weights, windows centred and the edges mirrored.

    Args:
        samples: (..., frames) in [-1, 1], with more than window // 2 frames.
        settings: how; their rate is the caller's to check.

    Returns:
        (..., M, T) with T = 1 + frames // hop, not negative; differentiable.

    Raises:
        SoundError: for fewer frames.
    """
    if samples.shape[-1] <= settings.window // 2:
        raise SoundError(
            f"expected more than {settings.window // 2} frames (half a window), got {samples.shape[-1]}; "
            "take a shorter window or a longer sound"
        )
    flat = samples.reshape(-1, samples.shape[-1])
    window = torch.hann_window(settings.window, dtype=samples.dtype, device=samples.device)
    spectrum = torch.stft(flat, settings.window, settings.hop, window=window, pad_mode="reflect", return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    mel = filterbank(settings).to(power) @ power
    return mel.reshape(*samples.shape[:-1], *mel.shape[-2:])


def log_mel(samples: Tensor, settings: MelSettings, floor: float = 1e-5) -> Tensor:
    """Natural logarithm of `mel_spectrogram` with powers below `floor` raised to it; the same shapes and errors."""
    return mel_spectrogram(samples, settings).clamp(min=floor).log()
