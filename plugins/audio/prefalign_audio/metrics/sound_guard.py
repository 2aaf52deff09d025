"""The silence and clipping guard as a metric over many clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from prefalign_audio.sound.guard import GuardLimits, inspect_sound
from prefalign_audio.sound.waveform import Waveform


class SoundGuard(Metric):
    """How many clips are silent or clipped; to be read beside every other metric of sound.

    `compute()` gives scalars: `silent` and `clipped` (shares in [0, 1], NaN without clips), `rms_dbfs` (mean level),
    `peak` (the largest) and `clips` (their number).

    Args:
        limits: where silence and clipping begin.
        kwargs: of torchmetrics' `Metric`.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    peak: Tensor

    def __init__(self, limits: GuardLimits | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.limits = limits or GuardLimits()
        for name in ("clips", "silent", "clipped"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("level", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("peak", torch.zeros(()), dist_reduce_fx="max")

    def update(self, waveforms: Sequence[Waveform]) -> None:
        """Examine N clips, of any rates."""
        for waveform in waveforms:
            report = inspect_sound(waveform, self.limits)
            self.clips += 1
            self.silent += report.silent
            self.clipped += report.clipped
            self.level += report.rms_dbfs
            self.peak = self.peak.clamp(min=report.peak)

    def compute(self) -> dict[str, Tensor]:
        """The scalars that the class names."""
        means = {"silent": self.silent / self.clips, "clipped": self.clipped / self.clips}
        level = (self.level / self.clips).float()
        return {**means, "rms_dbfs": level, "peak": self.peak.clone(), "clips": self.clips.clone()}
