"""The reward: a model or program that judges responses.

Axes: N responses, C criteria, T steps of a trajectory, B pairs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prefalign.interfaces.policy import Codec
from prefalign.interfaces.scores import Batch, _OnDevice


@dataclass
class RewardOutput(_OnDevice):
    """Judgements of N responses. Invalid is not zero: a response that could not be judged has `valid` False.

    Attributes:
        mean: (N, C) reward, or (N, T, C) per step for trajectories.
        variance: same shape, or None for rewards without uncertainty.
        valid: (N,) bool.
        mask: (N, T) steps that exist; None unless `mean` is per step.
    """

    mean: Tensor
    valid: Tensor
    variance: Tensor | None = None
    mask: Tensor | None = None

    def totals(self) -> RewardOutput:
        """Per-step rewards summed over their segment; per-response rewards unchanged.

        Steps are independent given the segment, so their variances add.
        """
        if self.mask is None:
            return self
        mask = self.mask.unsqueeze(-1).to(self.mean.dtype)
        variance = None if self.variance is None else (self.variance * mask).sum(1)
        return RewardOutput(mean=(self.mean * mask).sum(1), valid=self.valid, variance=variance)


class Reward(nn.Module, ABC):
    """A judge of responses, trained or given.

    Attributes:
        codec: encodes records, as a policy's codec does.
        criteria: names of the C outputs.
        differentiable: whether gradients flow to the response (for direct reward optimisation).
    """

    codec: Codec
    criteria: tuple[str, ...] = ("reward",)
    differentiable: bool = False

    def configure_model(self) -> None:
        """Load or build the weights; calling it again changes nothing. A reward without weights needs none of it."""

    @abstractmethod
    def forward(self, batch: Batch) -> RewardOutput:
        """Rewards of the batch's N rows."""

    def compare(self, batch: Batch) -> Tensor:
        """(B,) probability that each pair's chosen row is better, by the first criterion.

        Bradley–Terry for rewards without variance; with variance, the logistic averaged over the Gaussian difference by
        MacKay's probit approximation, sigma(m / sqrt(1 + pi s² / 8)).
        """
        out, pairs = self(batch).totals(), batch.relations
        difference = out.mean[pairs.chosen, 0] - out.mean[pairs.rejected, 0]
        if out.variance is None:
            return torch.sigmoid(difference)
        spread = out.variance[pairs.chosen, 0] + out.variance[pairs.rejected, 0]
        return torch.sigmoid(difference / torch.sqrt(1 + torch.pi * spread / 8))
