"""Is there anything to hear? Silence and clipping, which metrics on embeddings and tags can miss or even reward."""

from __future__ import annotations

import math
from dataclasses import dataclass

from prefalign_audio.sound.errors import SoundError
from prefalign_audio.sound.waveform import Waveform

_FLOOR_DBFS = -200.0  # stands for digital silence, whose level has no logarithm


@dataclass(frozen=True, kw_only=True)
class GuardLimits:
    """Where a clip counts as silent or clipped.

    Attributes:
        silent_dbfs: RMS level in dBFS below which a clip is silent. The noise of 16 bits lies near −98, quiet speech
            near −40.
        full_scale: magnitude from which a sample is counted as clipped; the largest of 16 bits is 0.99997.
        clipped_share: share of samples from which a clip is clipped. Not 0: a clip scaled to its peak has one.

    Raises:
        SoundError: for a level that is not below 0, or a share or scale outside (0, 1].
    """

    silent_dbfs: float = -60.0
    full_scale: float = 0.9999
    clipped_share: float = 0.001

    def __post_init__(self) -> None:
        if not _FLOOR_DBFS < self.silent_dbfs < 0:
            raise SoundError(f"silent_dbfs: expected a level in ({_FLOOR_DBFS:.0f}, 0) dBFS, got {self.silent_dbfs}")
        for name in ("full_scale", "clipped_share"):
            if not 0 < getattr(self, name) <= 1:
                raise SoundError(f"{name}: expected a number in (0, 1], got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class GuardReport:
    """What was found in one clip.

    Attributes:
        seconds, rate, channels: duration (s), sample rate (Hz), number of channels.
        peak: largest magnitude of a sample.
        rms_dbfs: RMS level without the channels' constant offsets, which nobody hears; 0 dBFS is a square wave between
            −1 and 1, a full sine has −3.01, and −200 stands for all that is below it.
        clipped_share: share of samples at or beyond full scale, in [0, 1].
        silent, clipped: whether the limits were met.
    """

    seconds: float
    rate: int
    channels: int
    peak: float
    rms_dbfs: float
    clipped_share: float
    silent: bool
    clipped: bool

    @property
    def problems(self) -> tuple[str, ...]:
        """`silent`, `clipped`, both or nothing."""
        return tuple(name for name in ("silent", "clipped") if getattr(self, name))


def inspect_sound(waveform: Waveform, limits: GuardLimits | None = None) -> GuardReport:
    """Measure one clip against the limits (the default ones if None)."""
    limits = limits or GuardLimits()
    samples = waveform.samples.double()
    magnitudes = samples.abs()
    rms = (samples - samples.mean(-1, keepdim=True)).square().mean().sqrt().item()
    level = max(20 * math.log10(rms), _FLOOR_DBFS) if rms > 0 else _FLOOR_DBFS
    share = (magnitudes >= limits.full_scale).double().mean().item()
    return GuardReport(
        seconds=waveform.seconds,
        rate=waveform.rate,
        channels=waveform.channels,
        peak=magnitudes.max().item(),
        rms_dbfs=level,
        clipped_share=share,
        silent=level < limits.silent_dbfs,
        clipped=share >= limits.clipped_share,
    )
