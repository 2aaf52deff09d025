"""A plugin with a training module small enough to train within a test."""

from pathlib import Path
from typing import Any

import pytest

PLUGIN = """
from prefalign.hooks import API, Component, PluginInfo, hookimpl

@hookimpl
def prefalign_plugin():
    return PluginInfo("toy", API, "A model of five weights", ("numbers",))

@hookimpl
def prefalign_components():
    module = "prefalign_toy_package.parts"
    return [
        Component("training", "toy", f"{module}:Toy", "A linear layer"),
        Component("data", "ones", f"{module}:Ones", "Rows of ones"),
        Component("objective", "plain", f"{module}:Plain", "A factor"),
        Component("objective", "square", f"{module}:Square", "A factor, squared"),
        Component("callback", "listener", f"{module}:Listener", "Keeps quiet"),
    ]

@hookimpl
def prefalign_presets():
    return "prefalign_toy_package:presets"

@hookimpl
def prefalign_describe_run(config, components):
    return {"steps": config["trainer"]["max_steps"], "components": list(components)}
"""

PARTS = """
import torch
from lightning.pytorch import Callback
from torch.utils.data import DataLoader

from prefalign.data.module import PreferenceDataModule
from prefalign.interfaces import PrefalignError
from prefalign.training.module import PreferenceModule


class Loss(torch.nn.Module):
    def __init__(self, beta: float = 0.1) -> None:
        super().__init__()
        self.beta = beta


class Plain(Loss): ...


class Square(Loss):
    def __init__(self, beta: float = 0.1, power: int = 2) -> None:
        super().__init__(beta)
        self.power = power


class Listener(Callback): ...


class Toy(PreferenceModule):
    def __init__(self, loss: Loss, width: int = 4, note: str = "", fails: str = "never") -> None:
        super().__init__()
        if fails == "early":
            raise PrefalignError("toy: told to fail early")
        self.loss, self.width, self.note, self.fails = loss, width, note, fails
        self.layer = torch.nn.Linear(width, 1)

    def evaluate_batch(self, batch):
        raise NotImplementedError

    def training_step(self, batch, batch_idx):
        if self.fails == "late":
            raise PrefalignError("toy: told to fail late")
        value = self.layer(batch).mean() * self.loss.beta
        self.log("train/loss", value)
        return value

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.layer(batch).mean())

    test_step = validation_step

    def predict_step(self, batch, batch_idx):
        return self.layer(batch)


class Ones(PreferenceDataModule):
    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.size = size

    def setup(self, stage):
        pass

    def train_dataloader(self):
        return DataLoader(torch.ones(self.size, 4))

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader
"""

PRESET = """\
# Paper: arXiv 2305.18290
# Data: none
# Run: prefalign fit --config toy/small
# Hardware: any CPU, one second
# Expected: a smaller loss
trainer: trainer/cpu.yaml
model:
  class_path: toy/toy
  init_args:
    loss:
      class_path: toy/plain
      init_args:
        beta: 1e-3
data: toy/ones
"""

PIECE = """\
accelerator: cpu
max_steps: 2
max_epochs: 10
log_every_n_steps: 1
enable_progress_bar: false
enable_model_summary: false
"""


@pytest.fixture(autouse=True)
def _no_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set rather than deleted: `--debug` writes the variable, and only a set one is put back after the test."""
    monkeypatch.setenv("PREFALIGN_DEBUG", "0")


@pytest.fixture
def toy(plugin_site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plugin `toy` with its preset `toy/small`, in an empty working folder."""
    plugin_site.add(
        "toy",
        PLUGIN,
        files={"parts.py": PARTS, "presets/small.yaml": PRESET, "presets/trainer/cpu.yaml": PIECE},
    )
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return plugin_site
