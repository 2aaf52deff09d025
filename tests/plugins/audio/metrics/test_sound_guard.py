"""The guard over many clips."""

import math

import pytest
import torch

from prefalign_audio.metrics.sound_guard import SoundGuard
from prefalign_audio.sound.waveform import Waveform

SQUARE = Waveform(torch.tensor([[0.1, -0.1] * 50]), 100)  # −20 dBFS
SILENT = Waveform(torch.zeros(2, 10), 16000)  # −200
CLIPPED = Waveform(torch.tensor([[1.0, -1.0] * 5]), 100)  # 0


def test_counts() -> None:
    """Of four clips one is silent and two are clipped; the mean level is (−20 − 200 + 0 + 0) / 4."""
    metric = SoundGuard()
    metric.update([SQUARE, SILENT])
    metric.update([CLIPPED, CLIPPED])
    found = {name: value.item() for name, value in metric.compute().items()}
    assert found == pytest.approx({"silent": 0.25, "clipped": 0.5, "rms_dbfs": -55.0, "peak": 1.0, "clips": 4})
    metric.reset()
    metric.update([])
    assert math.isnan(metric.compute()["silent"])
