"""Mel spectrograms and their statistics."""

import math
from collections.abc import Callable

import pytest
import torch

from prefalign.interfaces import Media
from prefalign_audio.encoders.mel import MelSpectrogram
from prefalign_audio.encoders.mel_statistics import FLOOR, MelStatistics


def test_power_of_a_sine_lies_in_its_band() -> None:
    """A sine of amplitude a at the centre of an FFT bin has, under a periodic Hann window of n samples, the magnitude
    a · n/4 in its bin and half of that in both neighbours. Filters of peak 1 weigh them by at most 1, so that the sum
    over all bands is at most (n/4)² · 1.5 · a², and more than half of it, since neighbouring triangles add up to 1."""
    mel = MelSpectrogram(16_000, 512, 160, 40, 0.0, 8_000.0, "htk")
    hertz, amplitude = 1_000.0, 0.5  # bin 32
    samples = amplitude * torch.sin(2 * math.pi * hertz * torch.arange(16_000) / 16_000)
    power = mel(samples)
    assert power.shape == (1 + 16_000 // 160, 40)
    middle = power[50]
    assert middle.sum().item() == pytest.approx(1.5 * (amplitude * 512 / 4) ** 2, rel=1e-3)
    # 1,000 Hz is 1,000 mel on the HTK scale; 8,000 Hz is 2,840 mel, so bands are 69.27 mel apart: between 13 and 14.
    assert middle.topk(2).indices.sort().values.tolist() == [13, 14]


def test_filters_that_sum_to_one_keep_a_flat_spectrum_flat() -> None:
    mel = MelSpectrogram(44_100, 2048, 1024, 96, 0.0, 22_050.0, "htk", "sum")
    assert torch.allclose(mel.filters.sum(0), torch.ones(96))


def test_loud_sound_does_not_overflow() -> None:
    """Full scale at n = 2048: (1024/2)² = 262,144 exceeds the largest half-precision number, 65,504."""
    mel = MelSpectrogram(16_000, 2048, 512, 8, 0.0, 8_000.0, "htk")
    power = mel(torch.sin(2 * math.pi * 1_000 * torch.arange(16_000) / 16_000))
    assert power.isfinite().all()
    assert power.max() > 65_504


def test_derived_numbers_are_no_part_of_the_state() -> None:
    assert MelSpectrogram(16_000, 512, 160, 40, 0.0, 8_000.0, "htk").state_dict() == {}


def test_statistics_are_mean_and_population_deviation_over_time(noise: Callable[..., Media]) -> None:
    encoder = MelStatistics()
    medium = noise(3)
    row = encoder([medium])[0]
    log_mel = (encoder.mel(encoder.samples(medium)) + FLOOR).log().double()
    assert row.shape == (128,)
    assert torch.allclose(row[:64].double(), log_mel.mean(0), atol=1e-5)
    spread = ((log_mel - log_mel.mean(0)) ** 2).mean(0).sqrt()
    assert torch.allclose(row[64:].double(), spread, atol=1e-5)


def test_statistics_do_not_depend_on_the_batch_and_tell_levels_apart(noise: Callable[..., Media]) -> None:
    """Ten times the amplitude is log 100 = 4.605 more log power."""
    encoder = MelStatistics()
    loud, soft = noise(0, scale=0.1), noise(0, scale=0.01)
    together = encoder([loud, soft, noise(1, seconds=1.0)])
    assert torch.equal(together[1], encoder([soft])[0])
    assert (together[0] - together[1])[:64].mean().item() == pytest.approx(math.log(100), abs=0.05)


def test_statistics_follow_the_rate_they_are_asked_for(noise: Callable[..., Media]) -> None:
    encoder = MelStatistics(rate=8_000, bands=16)
    assert encoder([noise(0, rate=8_000)]).shape == (1, 32)
    assert encoder.fingerprint() != MelStatistics(rate=16_000, bands=16).fingerprint()
    assert encoder.fingerprint() == MelStatistics(rate=8_000, bands=16).fingerprint()
