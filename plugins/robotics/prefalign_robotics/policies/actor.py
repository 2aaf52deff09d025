"""The network of every policy here: standardised observations, hidden layers, actions by tanh."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from prefalign_robotics.rewards.perceptron import perceptron
from prefalign_robotics.rewards.scale import Scale


class Actor(nn.Module):
    """Observations to actions in [−1, 1], deterministically.

    Args:
        observation: O numbers.
        action: A numbers.
        hidden: widths of the hidden layers.

    Attributes:
        scale: of the observations; as they come until `measure` was called.
        network: standardised observations (…, O) to actions (…, A).

    Raises:
        PrefalignError: for sizes below 1.
    """

    def __init__(self, observation: int, action: int, hidden: Sequence[int] = (256, 256)) -> None:
        super().__init__()
        self.observation, self.action = observation, action
        self.scale = Scale(observation)
        self.network = nn.Sequential(perceptron(observation, hidden, action), nn.Tanh())

    @torch.no_grad()
    def measure(self, observations: Tensor) -> None:
        """Take the scale from (N, O) observations, instead of what it was."""
        fresh = Scale(observations.shape[1])
        fresh.measure(observations, torch.ones(len(observations), dtype=torch.bool))
        fresh.settled.fill_(True)
        self.scale.load_state_dict(fresh.state_dict())

    def standardised(self, observations: Tensor) -> Tensor:
        """(…, O) observations as the network reads them."""
        return (observations - self.scale.mean) / self.scale.deviation

    def forward(self, observations: Tensor) -> Tensor:
        """(…, A) actions in [−1, 1] for (…, O) observations."""
        actions: Tensor = self.network(self.standardised(observations))
        return actions

    @torch.no_grad()
    def act(self, observations: np.ndarray) -> np.ndarray:
        """(B, A) actions for (B, O) observations, as `simulator.rollouts` asks for them."""
        weight = next(self.network.parameters())
        return self(torch.as_tensor(observations, dtype=weight.dtype, device=weight.device)).cpu().numpy()
