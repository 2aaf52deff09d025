"""Sound files and a tiny CLAP."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from prefalign.interfaces import Media
from prefalign_audio.encoders.tiny import save_tiny_clap
from prefalign_audio.sound.files import write_sound
from prefalign_audio.sound.waveform import Waveform


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left in the user's cache, and nothing found there."""
    monkeypatch.setenv("PREFALIGN_CACHE", str(tmp_path_factory.mktemp("user-cache")))


@pytest.fixture
def noise(tmp_path: Path) -> Callable[..., Media]:
    """White noise in a file."""

    def make(seed: int = 0, rate: int = 16_000, seconds: float = 0.5, channels: int = 1, scale: float = 0.1) -> Media:
        draw = torch.Generator().manual_seed(seed)
        samples = scale * torch.randn(channels, int(rate * seconds), generator=draw)
        path = tmp_path / f"noise-{seed}-{rate}-{seconds}-{channels}-{scale}.flac"
        write_sound(path, Waveform(samples.clamp(-1, 1), rate))
        return Media(kind="audio", path=str(path))

    return make


@pytest.fixture(scope="session")
def clap(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny CLAP."""
    return save_tiny_clap(tmp_path_factory.mktemp("clap"))
