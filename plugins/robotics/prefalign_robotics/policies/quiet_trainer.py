"""A trainer for policies that are learned within a function: on the CPU, and without a trace on disk or screen."""

from __future__ import annotations

from lightning.pytorch import Trainer


def quiet_trainer(steps: int) -> Trainer:
    """Lightning's trainer for `steps` steps of one epoch."""
    return Trainer(
        max_steps=steps,
        max_epochs=1,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
