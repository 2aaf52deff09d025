"""The likelihood-displacement alarm.

The margin can grow while both likelihoods fall, the chosen one included; accuracy and loss then look perfect while the
model unlearns the very answers it was to prefer (Razin et al., arXiv 2410.08847).
"""

from __future__ import annotations

import math
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from prefalign.interfaces import PrefalignError


class LikelihoodDisplacement(Callback):
    """Warn (or stop) when the chosen responses' likelihood has fallen although margins are positive.

    Logs `alarm/likelihood_displacement`, 1 while the alarm holds.

    Args:
        threshold: fall of the smoothed `rewards/chosen` below 0 that raises the alarm, in reward (beta × nats).
        smoothing: weight of the past in the moving averages, in [0, 1).
        action: `warn` once, or `stop` the training.
    """

    def __init__(
        self, threshold: float = 1.0, smoothing: float = 0.95, action: Literal["warn", "stop"] = "warn"
    ) -> None:
        if threshold <= 0 or not 0 <= smoothing < 1:
            raise PrefalignError(f"expected threshold > 0 and 0 <= smoothing < 1, got {threshold} and {smoothing}")
        self.threshold, self.smoothing, self.action = threshold, smoothing, action
        self.chosen = self.margin = 0.0
        self.steps = 0
        self.raised = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Follow the two averages."""
        found = trainer.callback_metrics
        if "train/rewards/chosen" not in found or "train/rewards/margins" not in found:
            return
        values = found["train/rewards/chosen"].item(), found["train/rewards/margins"].item()
        if not all(map(math.isfinite, values)):
            return
        self.steps += 1
        keep = self.smoothing
        self.chosen = keep * self.chosen + (1 - keep) * values[0]
        self.margin = keep * self.margin + (1 - keep) * values[1]
        bias = 1 - keep**self.steps  # both averages start at 0
        alarm = self.chosen / bias < -self.threshold and self.margin / bias > 0
        pl_module.log("alarm/likelihood_displacement", float(alarm))
        if alarm and not self.raised:
            self.raised = True
            rank_zero_warn(
                f"step {trainer.global_step}: the chosen responses have become less likely than under the reference "
                f"(rewards/chosen {self.chosen / bias:.2f}) while the margin is {self.margin / bias:.2f}. Raise beta, "
                "lower the learning rate, or anchor with nll_weight"
            )
            if self.action == "stop":
                trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """The averages, so that a resumed run goes on."""
        return {"chosen": self.chosen, "margin": self.margin, "steps": self.steps, "raised": self.raised}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        for name, value in state_dict.items():
            setattr(self, name, value)
