"""The drift alarm of denoisers.

A preference loss sees differences of errors only: both errors may grow without bound as long as the rejected response's
grows faster, and the model unlearns denoising while every preference metric improves. TangoFlux (arXiv 2412.21037)
found its losses to grow so, and added the winner's error to its loss; this alarm watches the absolute errors.
"""

from __future__ import annotations

from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer

from prefalign.interfaces import PrefalignError
from prefalign.training.callbacks.alarm import Alarm


class DenoisingDrift(Alarm):
    """Warn (or stop) when the chosen responses' denoising error has grown far above the reference's.

    Logs `drift/chosen` and `drift/rejected`, the smoothed errors less the reference's, and `alarm/drift`, 1 while the
    alarm holds. Objectives without a reference are not watched.

    Args:
        threshold: growth of the chosen responses' error that raises the alarm, as a share of the reference's error.
        smoothing, action: as for `Alarm`; errors at random noise levels vary much.
        warmup: steps before the alarm may be raised, in which the averages settle.
    """

    followed = ("mse/chosen", "ref_mse/chosen", "mse/rejected", "ref_mse/rejected")
    name = "drift"

    def __init__(
        self,
        threshold: float = 0.5,
        smoothing: float = 0.95,
        warmup: int = 20,
        action: Literal["warn", "stop"] = "warn",
    ) -> None:
        super().__init__(smoothing, action)
        if threshold <= 0 or warmup < 0:
            raise PrefalignError(f"expected threshold > 0 and warmup >= 0, got {threshold} and {warmup}")
        self.threshold, self.warmup = threshold, warmup

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Follow the errors."""
        means = self.follow(trainer)
        if means is None:
            return
        chosen, before, rejected, rejected_before = (means[name] for name in self.followed)
        pl_module.log_dict({"drift/chosen": chosen - before, "drift/rejected": rejected - rejected_before})
        message = (
            f"the chosen responses' denoising error has grown from {before:.3f} to {chosen:.3f} (rejected: "
            f"{rejected_before:.3f} to {rejected:.3f}). Add the chosen error to the loss (nll_weight: 1.0), raise "
            "beta, or lower the learning rate"
        )
        alarm = self.steps > self.warmup and chosen - before > self.threshold * before
        self.tell(trainer, pl_module, alarm, message)
