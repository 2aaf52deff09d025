"""What preference tuning and reward learning share: optimiser, schedule, checks before the start, exact resumption."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from prefalign.interfaces import Batch, Codec, ObjectiveOutput, PrefalignError

Schedule = Literal["constant", "linear", "cosine"]


def adamw(parameters: Iterable[Any]) -> torch.optim.Optimizer:
    """AdamW at the learning rate that is usual for preference tuning of full weights."""
    return torch.optim.AdamW(parameters, lr=1e-6, weight_decay=0.0)


#: Metrics in the progress bar.
SHOWN = frozenset({"loss", "rewards/accuracies", "rewards/margins", "accuracy"})


class EpochMeans:
    """Means of metrics over the records of an epoch, whichever batches and processes reported them.

    A batch without pairs reports no reward margin, so processes may know different metrics; Lightning's own reduction
    would wait for ever, or mix them up.
    """

    def __init__(self) -> None:
        self.sums: dict[str, tuple[float, int]] = {}

    def add(self, values: dict[str, Tensor], size: int) -> None:
        """Add a batch of `size` records."""
        for name, value in values.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value.item() * size, count + size)

    def compute(self) -> dict[str, float]:
        """The means over all processes, in the order of their names."""
        parts: list[dict[str, tuple[float, int]] | None] = [self.sums]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            parts = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, self.sums)
        found: dict[str, tuple[float, int]] = {}
        for part in parts:
            for name, (total, count) in (part or {}).items():
                before = found.get(name, (0.0, 0))
                found[name] = (before[0] + total, before[1] + count)
        return {name: total / count for name, (total, count) in sorted(found.items())}


class PreferenceModule(LightningModule):
    """Base of the training modules.

    Args:
        optimizer: any torch optimiser, as `{class_path: torch.optim.AdamW, init_args: {lr: 1.0e-6}}`.
        schedule: of the learning rate after the warm-up, down to 0 at the last step unless constant.
        warmup: share of all steps in which the learning rate rises from 0, in [0, 1).

    Attributes:
        run_config: the resolved configuration of the run, set by the command and stored in checkpoints, from which
            `load` rebuilds the module.
    """

    codec: Codec
    needs: frozenset[str]

    def __init__(
        self, optimizer: OptimizerCallable = adamw, schedule: Schedule = "constant", warmup: float = 0.0
    ) -> None:
        super().__init__()
        if not 0.0 <= warmup < 1.0:
            raise PrefalignError(f"warmup is a share of all steps, at least 0 and below 1; got {warmup}")
        self.make_optimizer, self.schedule, self.warmup = optimizer, schedule, warmup
        self.run_config: dict[str, Any] | None = None
        self._means = EpochMeans()

    @abstractmethod
    def evaluate_batch(self, batch: Batch) -> ObjectiveOutput:
        """The objective on one batch."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step; logs loss and metrics under `train/`."""
        out = self.evaluate_batch(batch)
        self._log("train", out, batch)
        return out.loss

    def validation_step(self, batch: Batch, batch_idx: int) -> ObjectiveOutput:
        """Logs loss and metrics under `val/`."""
        out = self.evaluate_batch(batch)
        self._log("val", out, batch)
        return out

    def test_step(self, batch: Batch, batch_idx: int) -> ObjectiveOutput:
        """Logs loss and metrics under `test/`."""
        out = self.evaluate_batch(batch)
        self._log("test", out, batch)
        return out

    def _log(self, stage: str, out: ObjectiveOutput, batch: Batch) -> None:
        size = len(batch.relations.ids)
        values = {"loss": out.loss.detach(), **out.metrics}
        if stage != "train":
            self._means.add(values, size)
            return
        for name, value in values.items():
            self.log(f"train/{name}", value, prog_bar=name in SHOWN, batch_size=size)

    def on_validation_start(self) -> None:
        """Set the random state aside: whether there was a validation must not change the training after it, or a run
        resumed from before the validation would go another way."""
        self._training_state = random_state()

    def on_validation_end(self) -> None:
        """Put the random state back."""
        set_random_state(self._training_state)

    def on_validation_epoch_start(self) -> None:
        """Begin the means anew."""
        self._means = EpochMeans()

    def on_validation_epoch_end(self) -> None:
        """Log the means over all records of all processes."""
        self._log_means("val")

    def on_test_epoch_start(self) -> None:
        """Begin the means anew."""
        self._means = EpochMeans()

    def on_test_epoch_end(self) -> None:
        """Log the means over all records of all processes."""
        self._log_means("test")

    def _log_means(self, stage: str) -> None:
        for name, value in self._means.compute().items():
            self.log(f"{stage}/{name}", value, prog_bar=name in SHOWN)

    def configure_optimizers(self) -> Any:
        """The optimiser over the trainable parameters, and the schedule per step."""
        trainable = [parameter for parameter in self.parameters() if parameter.requires_grad]
        if not trainable:
            raise PrefalignError("nothing to train: every parameter is frozen")
        optimizer = self.make_optimizer(trainable)
        if self.schedule == "constant" and not self.warmup:
            return optimizer
        from transformers import get_scheduler

        total = int(self.trainer.estimated_stepping_batches)
        scheduler = get_scheduler(
            "constant_with_warmup" if self.schedule == "constant" else self.schedule,
            optimizer,
            num_warmup_steps=round(self.warmup * total),
            num_training_steps=total,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what an exact continuation needs besides Lightning's own state."""
        checkpoint["prefalign"] = {"config": self.run_config, "random": random_state()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random state until training goes on, and mend the counts of a run that ended by its steps."""
        self._random_state = checkpoint.get("prefalign", {}).get("random")
        mend_epochs(checkpoint.get("loops", {}).get("fit_loop", {}))

    def on_train_start(self) -> None:
        """Let the data loader take up its position after a restart.

        Lightning sets the loaders up once, and restores their state then. A schedule that asks for the number of steps
        makes it set them up before the checkpoint is read, and the state is lost; asking again is harmless.
        """
        self.trainer.fit_loop._load_combined_loader_states()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Put the random state back at the first batch after a restart, when nothing else draws before the step."""
        state = getattr(self, "_random_state", None)
        if state is not None:
            set_random_state(state)
            self._random_state = None


def mend_epochs(loop: dict[str, Any]) -> None:
    """Count the epochs of a stored loop as they were trained, in place.

    Lightning counts an epoch as processed as soon as `max_steps` is reached, even in its middle, and then goes on in
    the next one at the position of the old. Of an epoch that did end, a run of a number of steps still holds the
    batches, and ends the next one by them.

    Args:
        loop: state of the fit loop; one without counts is left alone.
    """
    epochs, batches = loop.get("epoch_progress"), loop.get("epoch_loop.batch_progress")
    if epochs is None or batches is None:
        return
    ended = batches["is_last_batch"]
    for count in (epochs["current"], epochs["total"]):
        if ended and count["processed"] > count["completed"]:
            count["completed"] = count["processed"]
            batches["current"] = dict.fromkeys(batches["current"], 0)
            batches["is_last_batch"] = False
        elif not ended:
            count["processed"] = min(count["processed"], count["completed"])


def random_state() -> dict[str, Any]:
    """The states of all generators that training may draw from, as plain tensors and numbers."""
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002  # the global state, for libraries
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [kind, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, cached],
        "python": [version, list(internal), gauss],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restore what `random_state` gave."""
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), *rest))  # noqa: NPY002
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
