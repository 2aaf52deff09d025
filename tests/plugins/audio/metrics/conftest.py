"""Sounds, an encoder that counts and a tiny CLAP."""

import struct
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from prefalign.interfaces import Encoder, Media
from prefalign_audio.encoders.tiny import save_tiny_clap
from prefalign_audio.songs.song import Note, Song
from prefalign_audio.sound.files import wav_bytes
from prefalign_audio.sound.waveform import Waveform


class Floats(Encoder):
    """Reads D numbers from a medium's bytes, so that a test decides what the features are."""

    def __init__(self, width: int, name: str = "floats") -> None:
        super().__init__()
        self.width, self.name = width, name

    def forward(self, media: Sequence[Media]) -> Tensor:
        return torch.tensor([struct.unpack(f"{self.width}f", medium.data or b"") for medium in media])

    def fingerprint(self) -> str:
        return self.name


@pytest.fixture
def floats() -> Callable[..., Floats]:
    return Floats


@pytest.fixture
def packed() -> Callable[[Tensor], list[Media]]:
    """Media that `Floats` reads as these (N, D) features."""

    def make(features: Tensor) -> list[Media]:
        return [Media(kind="audio", data=struct.pack(f"{len(row)}f", *row)) for row in features.tolist()]

    return make


@pytest.fixture(scope="session")
def clap(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny CLAP for 48,000 Hz."""
    return save_tiny_clap(tmp_path_factory.mktemp("tiny-clap"))


@pytest.fixture
def noise() -> Callable[..., Media]:
    """A sound of white noise."""

    def make(seed: int = 0, rate: int = 48_000, channels: int = 1) -> Media:
        samples = 0.1 * torch.randn(channels, rate // 4, generator=torch.Generator().manual_seed(seed))
        return Media(kind="audio", data=wav_bytes(Waveform(samples, rate)))

    return make


@pytest.fixture
def random_song() -> Callable[[int], Song]:
    """A melody above a bass, 8 s of notes of eighths to halves drawn by a seed."""

    def make(seed: int) -> Song:
        draw = np.random.default_rng(seed)

        def part(low: int, high: int) -> tuple[Note, ...]:
            notes, start = [], 0
            while start < 24:
                length = min(int(draw.choice([1, 2, 2, 2, 4])), 24 - start)
                notes.append(Note(start, length, int(draw.integers(low, high)), True))
                start += length
            return tuple(notes)

        return Song(length=24, vocal=part(60, 76), parts={"bass": part(43, 56)})

    return make
