"""Waveforms: what they refuse, and what their operations give."""

import math

import pytest
import torch
from torch import Tensor

from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.waveform import Waveform


def test_stereo_to_mono() -> None:
    """(1, 0.5) and (0, -0.5) average to (0.5, 0); 2 frames at 4 Hz last half a second."""
    stereo = Waveform(torch.tensor([[1.0, 0.5], [0.0, -0.5]]), 4)
    assert (stereo.channels, stereo.frames, stereo.seconds) == (2, 2, 0.5)
    mono = stereo.mono()
    assert mono.samples.tolist() == [[0.5, 0.0]]
    assert mono.rate == 4
    assert mono.mono() is mono


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (torch.zeros(1, 3), 0, "expected a sample rate of whole Hz above 0, got 0"),
        (torch.zeros(1, 3), 16e3, "got 16000.0"),
        (torch.zeros(1, 3), True, "got True"),
        (torch.zeros(1, 3, dtype=torch.float64), 8, "a float32 tensor in [-1, 1], got torch.float64"),
        ([0.0], 8, "expected samples as a float32 tensor in [-1, 1], got list"),
        (torch.zeros(3), 8, "expected samples of shape (channels, frames), got (3,)"),
        (torch.zeros(1, 0), 8, "the sound is empty: its shape (channels, frames) is (1, 0)"),
        (torch.tensor([[0.0, math.nan, math.inf]]), 8, "2 of 3 samples are NaN or infinite"),
    ],
)  # fmt: skip
def test_refuses(samples: Tensor, rate: int, message: str) -> None:
    """Each error says what was found and what was expected."""
    with pytest.raises(SoundError) as caught:
        Waveform(samples, rate)
    assert message in str(caught.value)


def test_resampled_keeps_a_tone() -> None:
    """A tone of 50 Hz far below both Nyquist rates is the same function of time at 2,000 Hz, away from the edges."""
    old = Waveform(torch.sin(2 * math.pi * 50 * torch.arange(4000) / 4000)[None], 4000)
    new = old.resampled(2000)
    assert (new.rate, new.frames, new.seconds) == (2000, 2000, 1.0)
    expected = torch.sin(2 * math.pi * 50 * torch.arange(2000) / 2000)
    assert (new.samples[0] - expected)[50:-50].abs().max() < 1e-3
    assert old.resampled(4000) is old
    assert Waveform(torch.zeros(1, 5), 3).resampled(2).frames == 4  # ⌈10 / 3⌉
    with pytest.raises(SoundError, match="above 0, got -1"):
        old.resampled(-1)
