"""Preference tuning: policy, reference and objective in a Lightning module. No arithmetic of any paper stands here."""

from __future__ import annotations

import warnings
from typing import Any

from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities import rank_zero_warn

from prefalign.functional.fingerprint import fingerprint
from prefalign.interfaces import (
    NEEDS,
    Batch,
    CapabilityError,
    Objective,
    ObjectiveOutput,
    Policy,
    PrefalignError,
)
from prefalign.policies.reference import Auto, Reference
from prefalign.training.module import PreferenceModule, Schedule, adamw


class PreferenceTuning(PreferenceModule):
    """Tune a policy on preferences.

    Args:
        policy: what is trained.
        objective: the loss.
        reference: how reference scores are had; ignored by objectives that need none.
        optimizer, schedule, warmup: as in `PreferenceModule`.

    Raises:
        CapabilityError: if the objective needs what the policy cannot give; before any weight is loaded.
    """

    def __init__(
        self,
        policy: Policy,
        objective: Objective,
        reference: Reference | None = None,
        optimizer: OptimizerCallable = adamw,
        schedule: Schedule = "constant",
        warmup: float = 0.0,
    ) -> None:
        super().__init__(optimizer, schedule, warmup)
        missing = objective.needs - policy.provides - {"reference"}
        if missing:
            raise CapabilityError(
                f"objective {type(objective).__name__} needs "
                f"{', '.join(NEEDS.get(name, name) for name in sorted(missing))}, which policy "
                f"{type(policy).__name__} cannot give"
            )
        self.policy, self.objective = policy, objective
        self.reference = (reference or Auto()) if "reference" in objective.needs else None
        self.codec, self.needs = policy.codec, objective.needs

    def configure_model(self) -> None:
        """Load the policy, then let the reference take what it needs of it."""
        self.policy.configure_model()
        if self.reference is not None:
            self.reference.configure(self.policy)

    def on_fit_start(self) -> None:
        """Check the plan and compute ahead what the reference can."""
        # References and frozen towers are meant to be in eval mode.
        warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")
        if self.objective.batch_dependent and self.trainer.accumulate_grad_batches > 1:
            rank_zero_warn(
                f"{type(self.objective).__name__} compares the pairs of a batch with one another, so accumulating "
                "gradients over small batches is not the same as one large batch"
            )
        data = self.trainer.datamodule
        if getattr(data, "has_anchors", False) and not self.objective.anchored:
            raise CapabilityError(
                f"data.anchor is set, and {type(self.objective).__name__} would not look at its records: put it into "
                "core/anchored, or leave data.anchor out"
            )
        if self.reference is not None:
            folder = getattr(data, "folder", None)
            loaders = [] if data is None else [data.train_dataloader(), data.val_dataloader()]
            with self.trainer.precision_plugin.forward_context():
                self.reference.prepare(self.policy, loaders, folder)

    def evaluate_batch(self, batch: Batch) -> ObjectiveOutput:
        """Scores of policy and reference, and the objective over both."""
        scores = self.policy.scores(batch, self.needs)
        reference = None if self.reference is None else self.reference.scores(self.policy, batch)
        return self.objective(scores, reference, batch.relations)

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Step, then let the reference follow, before any callback saves a checkpoint."""
        super().optimizer_step(*arguments, **options)
        if self.reference is not None:
            self.reference.after_step(self.policy, self.trainer.global_step + 1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A reference that can be had again is left out; its fingerprint makes sure that it is the same one."""
        super().on_save_checkpoint(checkpoint)
        own = self._reference_keys(checkpoint["state_dict"])
        if own:
            for key in own:
                del checkpoint["state_dict"][key]
            checkpoint["prefalign"]["reference"] = fingerprint(self.reference)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the reference's own weights where the checkpoint left them out.

        Raises:
            PrefalignError: if this run's reference is not the one of the checkpoint's run.
        """
        super().on_load_checkpoint(checkpoint)
        mine = {f"reference.{k}": v for k, v in self.reference.state_dict().items()} if self.reference else {}
        kept = self._reference_keys(mine)
        expected = checkpoint.get("prefalign", {}).get("reference")
        if kept and expected is not None and expected != fingerprint(self.reference):
            raise PrefalignError(
                "the reference model of this run is not the one that the checkpoint was trained against: its weights "
                "differ. Resume with the same starting model"
            )
        checkpoint["state_dict"].update({key: mine[key] for key in kept})

    def _reference_keys(self, state: dict[str, Any]) -> list[str]:
        if self.reference is None or self.reference.saved:
            return []
        return [key for key in state if key.startswith("reference.")]
