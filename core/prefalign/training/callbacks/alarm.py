"""What alarms share: they follow moving averages of logged metrics, and speak up once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from prefalign.interfaces import PrefalignError


class Alarm(Callback):
    """Follows training metrics.

    Args:
        smoothing: weight of the past in the moving averages, in [0, 1).
        action: `warn` once, or `stop` the training.

    Raises:
        PrefalignError: for a smoothing out of range.
    """

    #: The metrics that are followed, without `train/`. Steps at which one is missing or not finite are passed over.
    followed: Sequence[str]
    #: What the alarm is logged as, behind `alarm/`.
    name: str

    def __init__(self, smoothing: float, action: Literal["warn", "stop"]) -> None:
        if not 0 <= smoothing < 1:
            raise PrefalignError(f"expected 0 <= smoothing < 1, got {smoothing}")
        self.smoothing, self.action = smoothing, action
        self.sums: dict[str, float] = {}
        self.steps = 0
        self.raised = False

    def follow(self, trainer: Trainer) -> dict[str, float] | None:
        """The averages with this step's metrics in them; None where the step is passed over."""
        found = trainer.callback_metrics
        if any(f"train/{name}" not in found for name in self.followed):
            return None
        values = {name: found[f"train/{name}"].item() for name in self.followed}
        if not all(map(math.isfinite, values.values())):
            return None
        self.steps += 1
        for name, value in values.items():
            self.sums[name] = self.smoothing * self.sums.get(name, 0.0) + (1 - self.smoothing) * value
        unbiased = 1 - self.smoothing**self.steps  # the sums start at 0
        return {name: value / unbiased for name, value in self.sums.items()}

    def tell(self, trainer: Trainer, module: LightningModule, alarm: bool, message: str) -> None:
        """Log whether the alarm holds; the first time that it does, warn and act."""
        module.log(f"alarm/{self.name}", float(alarm))
        if alarm and not self.raised:
            self.raised = True
            rank_zero_warn(f"step {trainer.global_step}: {message}")
            if self.action == "stop":
                trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """The averages, so that a resumed run goes on."""
        return {"sums": self.sums, "steps": self.steps, "raised": self.raised}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        for name, value in state_dict.items():
            setattr(self, name, value)
