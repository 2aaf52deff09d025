"""Histograms of implicit reward margins over the validation pairs, as pictures and for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from prefalign.interfaces import ObjectiveOutput
from prefalign.training.callbacks.folder import run_folder


class MarginHistogram(Callback):
    """Draw the validation margins after every validation: `margins/step-N.png` in the run's folder.

    A mean hides two humps; the share left of zero is the share of pairs that are still ordered wrongly.

    Args:
        bins: number of bins.
    """

    def __init__(self, bins: int = 40) -> None:
        self.bins = bins
        self.margins: list[Tensor] = []

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the last validation."""
        self.margins = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, loader: int = 0
    ) -> None:
        """Collect this process's margins."""
        if isinstance(outputs, ObjectiveOutput) and outputs.margins is not None:
            self.margins.append(outputs.margins.float().cpu())

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw."""
        if trainer.sanity_checking or not trainer.is_global_zero or not self.margins:
            return
        margins = torch.cat(self.margins)
        draw(margins, self.bins, trainer.global_step, run_folder(trainer) / "margins")
        for logger in trainer.loggers:
            add = getattr(logger.experiment, "add_histogram", None)
            if add is not None:
                add("val/rewards/margins", margins.numpy(), trainer.global_step)


def draw(margins: Tensor, bins: int, step: int, folder: Path) -> Path:
    """One histogram of (B,) margins as PNG; returns its path."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.hist(margins.numpy(), bins=bins, color="#4c72b0")
    axes.axvline(0.0, color="#c44e52", linewidth=1.5)
    wrong = (margins < 0).float().mean().item()
    axes.set(title=f"step {step}: {wrong:.1%} of {len(margins)} pairs ordered wrongly")
    axes.set(xlabel="implicit reward margin (beta × nats)", ylabel="pairs")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:06d}.png"
    figure.savefig(path, dpi=120)
    return path
