"""Where a run's files go."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Trainer


def run_folder(trainer: Trainer) -> Path:
    """The run's own folder: the logger's where there is one, else the trainer's root."""
    return Path(trainer.log_dir or trainer.default_root_dir)
