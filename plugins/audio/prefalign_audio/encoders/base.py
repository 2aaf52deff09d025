"""What the encoders of sound and of text share."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from prefalign.functional.fingerprint import fingerprint
from prefalign.interfaces import Encoder, Media
from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.files import read_sound
from prefalign_audio.sound.waveform import Waveform

#: A clip whose samples all stay this close to one another holds no sound: 16-bit files resolve 3.1e-5.
SILENCE = 1e-5


class SoundEncoder(Encoder):
    """A frozen encoder that hears each clip by itself, so that a row never depends on its batch.

    A model trained at one sample rate hears another sound when it is fed with another, and what a resampled clip lacks
    above its old Nyquist frequency is not put back: so files at another rate are refused unless told otherwise.

    Args:
        resample: bring files of another rate to the encoder's.
        downmix: take the mean of several channels.

    Attributes:
        rate: sample rate of the clips in Hz.
        width: size D of a feature vector.
        min_seconds: shortest clip in s.
    """

    rate: int
    min_seconds: float = 0.025

    def __init__(self, resample: bool = False, downmix: bool = False) -> None:
        super().__init__()
        self.resample, self.downmix = resample, downmix

    def samples(self, medium: Media) -> Tensor:
        """(frames,) mono samples of a medium at the encoder's rate, on the CPU.

        Raises:
            SoundError: for a file that cannot be read, another rate, several channels, silence, or too short a clip.
        """
        sound = checked_sound(medium, self.rate, self.resample, self.downmix, self.min_seconds)
        return sound.resampled(self.rate).samples[0]

    @torch.no_grad()
    def forward(self, media: Sequence[Media]) -> Tensor:
        """(N, D) features of N clips, float32.

        Raises:
            SoundError: for a clip that cannot be used; see `samples`.
        """
        rows = [self.embed(self.samples(medium).to(self.device)) for medium in media]
        return torch.stack(rows).float() if rows else torch.empty(0, self.width, device=self.device)

    @abstractmethod
    def embed(self, samples: Tensor) -> Tensor:
        """(D,) features of the (frames,) samples of one clip, which is neither silent nor too short."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The plain values that, with the weights, decide the features."""

    def fingerprint(self) -> str:
        """A hash of the weights and of `settings`; not of `resample`, since clips of the right rate are not touched."""
        return settings_hash(self, self.settings())

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next((tensor.device for tensor in (*self.parameters(), *self.buffers())), torch.device("cpu"))


class TextEncoder(nn.Module, ABC):
    """A frozen encoder of captions.

    Attributes:
        width: size D of a feature vector.
    """

    width: int

    @abstractmethod
    def forward(self, texts: Sequence[str]) -> Tensor:
        """(N, D) features of N texts, float32; the same text always gives the same row, whatever its batch."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of weights and preprocessing."""


def checked_sound(medium: Media, rate: int, resample: bool, downmix: bool, min_seconds: float = 0.0) -> Waveform:
    """A medium as one channel that may be brought to `rate`: the checks that every encoder makes.

    Raises:
        SoundError: see `SoundEncoder.samples`.
    """
    sound = read_sound(medium)
    place = medium.path or "sound in the record"
    if sound.channels > 1 and not downmix:
        raise SoundError(f"{place}: expected one channel, got {sound.channels}; set downmix: true to take their mean")
    if sound.rate != rate and not resample:
        raise SoundError(
            f"{place}: expected a sample rate of {rate} Hz, got {sound.rate} Hz; set resample: true to convert it"
        )
    if sound.seconds < min_seconds:
        raise SoundError(f"{place}: expected at least {min_seconds} s of sound, got {sound.seconds:.4f} s")
    sound = sound.mono()
    if sound.samples.max() - sound.samples.min() < SILENCE:
        raise SoundError(f"{place}: the clip is silent, so there is nothing to encode; drop it or count it as a miss")
    return sound


def settings_hash(module: nn.Module, settings: dict[str, Any]) -> str:
    """A hash of a module's class, weights and settings."""
    parts = (type(module).__name__, sorted(settings.items()), fingerprint(module))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def windows(values: Tensor, size: int, hop: int) -> Tensor:
    """(W, size, …) windows over the first axis of `values`, which is at least `size` long.

    The last one is aligned to the end, so that nothing is left unheard.
    """
    starts = list(range(0, len(values) - size + 1, hop))
    if starts[-1] + size < len(values):
        starts.append(len(values) - size)
    return torch.stack([values[start : start + size] for start in starts])


def freeze(module: nn.Module) -> None:
    """Put a module in evaluation mode and take its parameters out of training."""
    module.eval().requires_grad_(False)
