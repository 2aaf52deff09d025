"""A reward of each step by itself: a perceptron on observation and action."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from prefalign.interfaces import PrefalignError
from prefalign_robotics.rewards.codec import TrajectoryCodec
from prefalign_robotics.rewards.perceptron import perceptron
from prefalign_robotics.rewards.trajectory import TrajectoryReward, deviation


class MarkovReward(TrajectoryReward):
    """r(s, a), or a Gaussian of mean μ(s, a) and deviation σ(s, a); a segment's reward is the sum over its steps.

    Inputs are standardised by what training meets first (see `Scale`). With `gaussian` the logarithm of σ stays
    between −5 and 3; train it with `core/robust_reward` (PEARL, arXiv 2306.03615) or `core/gaussian`. Several with
    different seeds in `core/ensemble` say by their disagreement where they know nothing.

    Args:
        observation_size: O, numbers in an observation.
        action_size: A, numbers in an action.
        hidden: widths of the hidden layers; none for a linear reward.
        gaussian: also give a variance.
        every: keep the first of every so many steps.
        init_seed: seed of random weights; members of an ensemble differ in it.
        weights: folder that `save_pretrained` wrote, to start from; random weights if None.

    Raises:
        PrefalignError: for sizes below 1.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden: Sequence[int] = (256, 256),
        gaussian: bool = False,
        every: int = 1,
        init_seed: int = 0,
        weights: str | None = None,
    ) -> None:
        settings = {
            "observation_size": observation_size,
            "action_size": action_size,
            "hidden": list(hidden),
            "gaussian": gaussian,
            "every": every,
        }
        super().__init__(TrajectoryCodec(observation_size, action_size, every), settings, init_seed, weights)
        if any(width < 1 for width in hidden):
            raise PrefalignError(f"expected hidden layers of at least 1 unit, got {list(hidden)}")
        self.hidden, self.gaussian = tuple(hidden), gaussian

    def build(self) -> nn.Module:
        """The perceptron."""
        return _Perceptron(self.codec.observation_size + self.codec.action_size, self.hidden, 2 if self.gaussian else 1)

    def judge(self, found: Any, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """(N, T) means and deviations."""
        return found[..., 0], deviation(found[..., 1]) if self.gaussian else None


class _Perceptron(nn.Module):
    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.layers = perceptron(inputs, hidden, outputs)

    def forward(self, observations: Tensor, actions: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = self.layers(torch.cat([observations, actions], -1))
        return found
