"""Silence and clipping of single clips."""

import math
from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch

from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.guard import GuardLimits, inspect_sound
from prefalign_audio.sound.waveform import Waveform


def sound(*samples: float) -> Waveform:
    return Waveform(torch.tensor([samples], dtype=torch.float32), 4)


def test_levels(tone: Callable[..., Waveform]) -> None:
    """A full sine has an RMS of 1/√2, −3.0103 dBFS; half of it 6.0206 dB less; a full square wave 0."""
    assert inspect_sound(tone(1.0)).rms_dbfs == pytest.approx(-3.0103, abs=1e-4)
    assert inspect_sound(tone(0.5)).rms_dbfs == pytest.approx(-9.0309, abs=1e-4)
    assert inspect_sound(sound(1, -1, 1, -1)).rms_dbfs == pytest.approx(0, abs=1e-9)


def test_everything_that_is_reported() -> None:
    """4 frames at 4 Hz; RMS of (0.6, −0.6, 0, 0) is 0.6/√2, 0.4243, −7.4473 dBFS."""
    assert asdict(inspect_sound(sound(0.6, -0.6, 0, 0))) == pytest.approx(
        {"seconds": 1.0, "rate": 4, "channels": 1, "peak": 0.6, "rms_dbfs": 10 * math.log10(0.18)}
        | {"clipped_share": 0.0, "silent": False, "clipped": False}
    )


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_silence(offset: float) -> None:
    """Zeros are silent, and so is a constant, which no ear notices."""
    report = inspect_sound(sound(*[offset] * 8))
    assert report.silent
    assert report.problems == ("silent",)
    assert report.rms_dbfs == -200
    assert report.peak == offset


def test_offsets_are_taken_from_each_channel() -> None:
    """Two constant channels, of 0.5 and −0.5, are silent; together they are not one wave."""
    assert inspect_sound(Waveform(torch.tensor([[0.5, 0.5], [-0.5, -0.5]]), 4)).silent


def test_limit_of_silence(tone: Callable[..., Waveform]) -> None:
    """A sine of amplitude √2 · 10⁻³ lies at −60 dBFS: a little less is silent by default, a little more is not."""
    edge = math.sqrt(2) * 1e-3
    assert inspect_sound(tone(edge * 0.99)).silent
    assert not inspect_sound(tone(edge * 1.01)).silent
    assert not inspect_sound(tone(edge * 0.99), GuardLimits(silent_dbfs=-61)).silent


def test_clipping() -> None:
    """2 of 8 samples at full scale, of either sign or beyond it, are a quarter; a value below it does not count."""
    report = inspect_sound(sound(1.0, -1.2, 0.9, 0.1, -0.1, 0.2, -0.2, 0.3))
    assert report.clipped_share == 0.25
    assert report.problems == ("clipped",)
    assert report.peak == pytest.approx(1.2)


def test_a_clip_scaled_to_its_peak_is_not_clipped(tone: Callable[..., Waveform]) -> None:
    """One sample of 16,000 at full scale is 1/16 of the share from which a clip counts."""
    wave = tone(0.5)
    wave.samples[0, 7] = 1.0
    assert inspect_sound(wave).clipped_share == 1 / 16000
    assert not inspect_sound(wave).clipped
    wave.samples[0, :16] = 1.0
    assert inspect_sound(wave).clipped


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"silent_dbfs": 0.0}, "silent_dbfs: expected a level in"),
        ({"silent_dbfs": -200.0}, "silent_dbfs"),
        ({"full_scale": 1.1}, r"full_scale: expected a number in \(0, 1\], got 1.1"),
        ({"clipped_share": 0.0}, "clipped_share"),
    ],
)
def test_limits_refuse(limits: dict[str, float], message: str) -> None:
    """Levels in dBFS are negative; shares and scales lie in (0, 1]."""
    with pytest.raises(SoundError, match=message):
        GuardLimits(**limits)
