"""The drift alarm of denoisers.

A preference loss sees differences of errors only: both errors may grow without bound as long as the rejected response's
grows faster, and the model unlearns denoising while every preference metric improves. TangoFlux (arXiv 2412.21037)
found its losses to grow so, and added the winner's error to its loss; this alarm watches the absolute errors.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from prefalign.interfaces import PrefalignError


class DenoisingDrift(Callback):
    """Warn (or stop) when the chosen responses' denoising error has grown far above the reference's.

    Logs `drift/chosen` and `drift/rejected`, the smoothed errors less the reference's, and `alarm/drift`, 1 while the
    alarm holds. Objectives without a reference are not watched.

    Args:
        threshold: growth of the chosen responses' error that raises the alarm, as a share of the reference's error.
        smoothing: weight of the past in the moving averages, in [0, 1); errors at random noise levels vary much.
        warmup: steps before the alarm may be raised, in which the averages settle.
        action: `warn` once, or `stop` the training.
    """

    def __init__(
        self,
        threshold: float = 0.5,
        smoothing: float = 0.95,
        warmup: int = 20,
        action: Literal["warn", "stop"] = "warn",
    ) -> None:
        if threshold <= 0 or not 0 <= smoothing < 1 or warmup < 0:
            raise PrefalignError(
                f"expected threshold > 0, 0 <= smoothing < 1 and warmup >= 0, got {threshold}, {smoothing} and {warmup}"
            )
        self.threshold, self.smoothing, self.warmup, self.action = threshold, smoothing, warmup, action
        self.averages: dict[str, float] = {}
        self.steps = 0
        self.raised = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Follow the errors."""
        found = trainer.callback_metrics
        names = ("mse/chosen", "ref_mse/chosen", "mse/rejected", "ref_mse/rejected")
        if any(f"train/{name}" not in found for name in names):
            return
        values = {name: found[f"train/{name}"].item() for name in names}
        if not all(map(math.isfinite, values.values())):
            return
        self.steps += 1
        for name, value in values.items():
            self.averages[name] = self.smoothing * self.averages.get(name, 0.0) + (1 - self.smoothing) * value
        unbiased = 1 - self.smoothing**self.steps  # the averages start at 0
        errors = {name: value / unbiased for name, value in self.averages.items()}
        drift = {side: errors[f"mse/{side}"] - errors[f"ref_mse/{side}"] for side in ("chosen", "rejected")}
        alarm = self.steps > self.warmup and drift["chosen"] > self.threshold * errors["ref_mse/chosen"]
        pl_module.log_dict({"drift/chosen": drift["chosen"], "drift/rejected": drift["rejected"]})
        pl_module.log("alarm/drift", float(alarm))
        if alarm and not self.raised:
            self.raised = True
            rank_zero_warn(
                f"step {trainer.global_step}: the chosen responses' denoising error has grown from "
                f"{errors['ref_mse/chosen']:.3f} to {errors['mse/chosen']:.3f} (rejected: "
                f"{errors['ref_mse/rejected']:.3f} to {errors['mse/rejected']:.3f}). Add the chosen error to the loss "
                "(nll_weight: 1.0), raise beta, or lower the learning rate"
            )
            if self.action == "stop":
                trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """The averages, so that a resumed run goes on."""
        return {"averages": self.averages, "steps": self.steps, "raised": self.raised}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        for name, value in state_dict.items():
            setattr(self, name, value)
