"""The likelihood-displacement alarm.

The margin can grow while both likelihoods fall, the chosen one included; accuracy and loss then look perfect while the
model unlearns the very answers it was to prefer (Razin et al., arXiv 2410.08847).
"""

from __future__ import annotations

from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer

from prefalign.interfaces import PrefalignError
from prefalign.training.callbacks.alarm import Alarm


class LikelihoodDisplacement(Alarm):
    """Warn (or stop) when the chosen responses' likelihood has fallen although margins are positive.

    Logs `alarm/likelihood_displacement`, 1 while the alarm holds.

    Args:
        threshold: fall of the smoothed `rewards/chosen` below 0 that raises the alarm, in reward (beta × nats). With 0
            any fall does, however small beta makes it; give `min_margin` with it, or noise will do as well.
        min_margin: smoothed margin above which a fall counts, in reward, at least 0.
        smoothing, action: as for `Alarm`.
    """

    followed = ("rewards/chosen", "rewards/margins")
    name = "likelihood_displacement"

    def __init__(
        self,
        threshold: float = 1.0,
        smoothing: float = 0.95,
        action: Literal["warn", "stop"] = "warn",
        min_margin: float = 0.0,
    ) -> None:
        super().__init__(smoothing, action)
        for name, value in {"threshold": threshold, "min_margin": min_margin}.items():
            if not value >= 0:
                raise PrefalignError(f"expected {name} of at least 0, got {value}")
        self.threshold, self.min_margin = threshold, min_margin

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Follow the two averages."""
        means = self.follow(trainer)
        if means is None:
            return
        chosen, margin = (means[name] for name in self.followed)
        message = (
            "the chosen responses have become less likely than under the reference "
            f"(rewards/chosen {chosen:.2f}) while the margin is {margin:.2f}. Raise beta, "
            "lower the learning rate, or anchor with nll_weight"
        )
        self.tell(trainer, pl_module, chosen < -self.threshold and margin > self.min_margin, message)
