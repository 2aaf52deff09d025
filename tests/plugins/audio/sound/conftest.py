"""Sounds with known properties."""

import math
from collections.abc import Callable

import pytest
import torch

from prefalign_audio.sound.waveform import Waveform


@pytest.fixture
def tone() -> Callable[..., Waveform]:
    """A sine of whole periods."""

    def make(amplitude: float = 0.5, hertz: int = 1000, rate: int = 16000, seconds: float = 1.0) -> Waveform:
        time = torch.arange(int(rate * seconds), dtype=torch.float64) / rate
        return Waveform((amplitude * torch.sin(2 * math.pi * hertz * time)).float()[None], rate)

    return make
