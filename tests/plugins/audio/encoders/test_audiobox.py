"""Audiobox Aesthetics through a module with its package's interface; the package itself is not needed."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.encoders.audiobox import AXES, AudioboxAesthetics
from prefalign_audio.encoders.load import load_encoder
from prefalign_audio.metrics.aesthetics import Aesthetics
from prefalign_audio.sound.errors import SoundError


class Predictor:
    """Takes batches of dictionaries and gives one per clip, as `AesPredictor` does."""

    def __init__(self, checkpoint: str | None) -> None:
        self.checkpoint, self.model, self.device = checkpoint, nn.Linear(1, 1), torch.device("meta")

    def forward(self, batch: list[dict[str, Any]]) -> list[dict[str, float]]:
        assert self.device.type == "cpu"
        rows = []
        for item in batch:
            assert item["sample_rate"] == 16_000
            assert item["path"].shape[0] == 1
            # In another order than ours, as a dictionary may be.
            rows.append({"PQ": 4.0, "PC": 3.0, "CU": 2.0, "CE": item["path"].shape[1] / 16_000})
        return rows


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("audiobox_aesthetics.infer")
    module.initialize_predictor = Predictor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "audiobox_aesthetics", ModuleType("audiobox_aesthetics"))
    monkeypatch.setitem(sys.modules, "audiobox_aesthetics.infer", module)
    return module


@pytest.mark.usefixtures("package")
def test_four_scores_in_the_order_of_the_axes(noise: Callable[..., Media]) -> None:
    encoder = load_encoder("audiobox")
    assert encoder([noise(), noise(seconds=1.0)]).tolist() == [[0.5, 2, 3, 4], [1, 2, 3, 4]]
    assert encoder.width == len(AXES) == 4
    assert len(encoder.fingerprint()) == 64
    assert not any(one.requires_grad for one in encoder.parameters())
    with pytest.raises(SoundError, match="expected a sample rate of 16000 Hz, got 22050 Hz"):
        encoder([noise(rate=22_050)])
    metric = Aesthetics()
    metric.update([noise(), noise(seconds=1.0)])
    assert metric.compute()["content_enjoyment"] == 0.75
    assert metric.compute()["production_quality"] == 4


def test_weights_come_from_a_file_or_are_said_to_be_missing(package: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(PrefalignError, match="no such file; expected the weights"):
        AudioboxAesthetics(checkpoint=tmp_path / "none")
    (tmp_path / "weights").touch()
    assert AudioboxAesthetics(checkpoint=tmp_path / "weights")._predictor.checkpoint == str(tmp_path / "weights")

    def offline(checkpoint: str | None) -> Predictor:
        raise OSError("offline")

    package.initialize_predictor = offline  # type: ignore[attr-defined]
    with pytest.raises(PrefalignError, match=r"weights of Audiobox Aesthetics cannot be had \(offline\)"):
        AudioboxAesthetics()


@pytest.mark.skipif(importlib.util.find_spec("audiobox_aesthetics") is not None, reason="the package is installed")
def test_without_the_package_the_remedy_is_named() -> None:
    with pytest.raises(PrefalignError, match=r'pip install "prefalign-audio\[aesthetics\]"'):
        load_encoder("audiobox")
