"""RAPL: people's comparisons align a space in which a trajectory is judged by how well it matches a good one.

Tian et al., arXiv 2310.07932 and 2412.04835. A triplet is an anchor o+ and two others, of which õ is said to be nearer
to it than o−; with R of `transport`, P = exp R(õ, o+) / (exp R(õ, o+) + exp R(o−, o+)), which is Bradley and Terry's
model of the totals. So the reward trains with `core/bradley_terry`, and other objectives of pairs fit as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor

from prefalign.interfaces import Batch, PrefalignError, Reward, RewardOutput
from prefalign_robotics.rewards.alignment.codec import StepsCodec
from prefalign_robotics.rewards.alignment.encoders import StepEncoder
from prefalign_robotics.rewards.alignment.saving import load_encoder, load_settings, save
from prefalign_robotics.rewards.alignment.transport import align

#: Sinkhorn ends at a marginal error that float32 can reach with a few hundred steps.
TOLERANCE = 1e-5


class AlignedReward(Reward):
    """How well a response's steps match those of its record's anchor (`reference_answer`), in a learned space.

    Rewards are those of the response's steps, (N, T, 1), and add up to R in [−2, 0]. A row whose embeddings have no
    direction, or whose plan did not converge, is not valid.

    Actions are not read. What is learned is the encoder: `DemonstrationReward` judges by it where there is no anchor.

    Args:
        encoder: what is trained.
        epsilon: weight of the plan's entropy; the released code's gamma is 1/epsilon, and is 1. Plans are then nearly
            uniform, and R is nearly minus the mean distance of all steps from all; at 0.2 they match, and order better.
        iterations: of Sinkhorn, at most; a dozen are enough at epsilon 1.
        every: keep the first of every so many steps.

    Raises:
        PrefalignError: for numbers out of range.
    """

    codec: StepsCodec

    def __init__(self, encoder: StepEncoder, epsilon: float = 1.0, iterations: int = 200, every: int = 1) -> None:
        super().__init__()
        if not epsilon > 0 or iterations < 1:
            raise PrefalignError(f"expected epsilon > 0 and at least 1 iteration, got {epsilon} and {iterations}")
        self.encoder, self.epsilon, self.iterations = encoder, epsilon, iterations
        self.codec = StepsCodec(encoder.array, encoder.size, every)

    def configure_model(self) -> None:
        """Make the encoder's weights."""
        self.encoder.configure_model()

    def forward(self, batch: Batch) -> RewardOutput:
        """Rewards of the responses' steps, (N, T, 1), in the encoder's own precision even under autocast."""
        steps, mask, anchor = (cast(Tensor, batch.inputs[name]) for name in ("steps", "mask", "anchor"))
        with torch.autocast(steps.device.type, enabled=False):
            embedded = self.encoder(steps, mask)
            rows = len(anchor)
            found = align(
                embedded[:rows],
                embedded[anchor],
                mask[:rows],
                mask[anchor],
                epsilon=self.epsilon,
                iterations=self.iterations,
                tolerance=TOLERANCE,
            )
        return RewardOutput(found.rewards.unsqueeze(-1), found.defined & found.converged, None, mask[:rows])

    def save_pretrained(self, folder: Path) -> None:
        """Write settings, encoder and weights.

        Raises:
            PrefalignError: for an encoder of another kind than `saving.ENCODERS`.
        """
        save(folder, type(self).__name__, self.encoder, self._settings)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """The reward that `save_pretrained` wrote, its weights loaded.

        Raises:
            PrefalignError: if the folder holds no such reward.
        """
        settings = load_settings(folder, cls.__name__)
        try:
            return cls(load_encoder(folder), **settings)
        except TypeError as error:
            raise PrefalignError(f"{folder}: the settings do not fit this version ({error})") from None

    @property
    def _settings(self) -> dict[str, Any]:
        return {"epsilon": self.epsilon, "iterations": self.iterations, "every": self.codec.every}
