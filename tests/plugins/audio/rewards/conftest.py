"""Sounds with known spectra, records about them, and small encoders."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefalign.interfaces import Media
from prefalign_audio.encoders.base import SoundEncoder, TextEncoder
from prefalign_audio.encoders.tiny import save_tiny_clap
from prefalign_audio.sound.files import write_sound
from prefalign_audio.sound.waveform import Waveform


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left in the user's cache, and nothing found there."""
    monkeypatch.setenv("PREFALIGN_CACHE", str(tmp_path_factory.mktemp("user-cache")))


@pytest.fixture(scope="session")
def clap(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny CLAP."""
    return save_tiny_clap(tmp_path_factory.mktemp("clap"))


@pytest.fixture
def tone(tmp_path: Path) -> Callable[..., Media]:
    """A tone in noise: `pitch` counts eighths of the band."""

    def make(pitch: int = 0, seed: int = 0, rate: int = 8_000, channels: int = 1, seconds: float = 0.1) -> Media:
        draw = torch.Generator().manual_seed(seed)
        frames = int(rate * seconds)
        wave = 0.3 * torch.sin(torch.pi * (pitch + 0.5) / 8 * torch.arange(frames))
        samples = wave + 0.1 * torch.randn(channels, frames, generator=draw)
        path = tmp_path / f"tone-{pitch}-{seed}-{rate}-{channels}.wav"
        write_sound(path, Waveform(samples, rate))
        return Media(kind="audio", path=str(path))

    return make


class Spectrum(SoundEncoder):
    """Unit vector of the magnitudes in 8 bands, at 8,000 Hz; counts the clips it hears."""

    rate, width = 8_000, 8

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.heard = 0

    def embed(self, samples: Tensor) -> Tensor:
        self.heard += 1
        magnitudes = torch.fft.rfft(samples).abs()[: len(samples) // 2 // 8 * 8]
        return normalize(magnitudes.reshape(8, -1).mean(1), dim=0)

    def settings(self) -> dict[str, Any]:
        return {"edition": 1}


class Words(TextEncoder):
    """A random unit vector of 8 numbers for each text."""

    width = 8

    def forward(self, texts: Sequence[str]) -> Tensor:
        draws = [torch.Generator().manual_seed(sum(text.encode())) for text in texts]
        return torch.stack([normalize(torch.randn(8, generator=draw), dim=0) for draw in draws])

    def fingerprint(self) -> str:
        return "words"


@pytest.fixture
def spectrum() -> Callable[..., Spectrum]:
    return Spectrum


@pytest.fixture
def words() -> Callable[[], Words]:
    return Words
