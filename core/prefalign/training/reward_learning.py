"""Reward learning: a reward and its objective in a Lightning module. No arithmetic of any paper stands here."""

from __future__ import annotations

import torch
from lightning.pytorch.cli import OptimizerCallable

from prefalign.interfaces import Batch, ObjectiveOutput, Reward
from prefalign.interfaces.objective import RewardObjective
from prefalign.rewards.combine import Ensemble, mixture
from prefalign.training.module import PreferenceModule, Schedule, adamw


class RewardLearning(PreferenceModule):
    """Fit a reward to preferences.

    Args:
        reward: what is trained. The members of an `Ensemble` are trained by their own losses, not that of their mean,
            so that they stay independent of one another.
        objective: the loss.
        optimizer, schedule, warmup: as in `PreferenceModule`. A fresh head wants larger steps than a policy: 1e-5 is
            usual for full weights, 1e-4 for an adapter.
    """

    def __init__(
        self,
        reward: Reward,
        objective: RewardObjective,
        optimizer: OptimizerCallable = adamw,
        schedule: Schedule = "constant",
        warmup: float = 0.0,
    ) -> None:
        super().__init__(optimizer, schedule, warmup)
        self.reward, self.objective = reward, objective
        self.codec, self.needs = reward.codec, frozenset()

    def configure_model(self) -> None:
        """Load the reward's weights."""
        self.reward.configure_model()

    def evaluate_batch(self, batch: Batch) -> ObjectiveOutput:
        """The objective over the rewards of the batch; of an ensemble, the members' mean loss."""
        if not isinstance(self.reward, Ensemble):
            return self.objective(self.reward(batch), batch.relations)
        members = self.reward.members(batch)
        losses = [self.objective(member, batch.relations).loss for member in members]
        with torch.no_grad():
            # What is measured is the judgement of the ensemble as a whole.
            out: ObjectiveOutput = self.objective(mixture(members), batch.relations)
        out.loss = torch.stack(losses).mean()
        return out
