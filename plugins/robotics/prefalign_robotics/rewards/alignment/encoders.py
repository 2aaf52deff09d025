"""Encoders of steps: the space in which trajectories are compared. People's comparisons are spent on it.

An encoder reads one array of a response: `observations`, or `features` that a frozen image model made of its frames
(see `frames`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from prefalign.interfaces import PrefalignError
from prefalign_robotics.rewards.codec import OBSERVATIONS
from prefalign_robotics.rewards.perceptron import perceptron
from prefalign_robotics.rewards.scale import Scale


class StepEncoder(nn.Module, ABC):
    """Embeds each step of a trajectory by itself; only the embeddings' directions count.

    Args:
        size: F, numbers in a step.
        width: D, numbers in an embedding.
        array: name of the array (T, F) that is read.

    Raises:
        PrefalignError: for sizes below 1.
    """

    def __init__(self, size: int, width: int, array: str) -> None:
        super().__init__()
        for name, number in (("size", size), ("width", width)):
            if number < 1:
                raise PrefalignError(f"expected {name} of at least 1, got {number}")
        self.size, self.width, self.array = size, width, array

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The arguments of the class that make the same encoder again, as plain JSON values."""

    def configure_model(self) -> None:
        """Make the weights; calling it again changes nothing. An encoder without weights needs none of it."""

    @abstractmethod
    def forward(self, steps: Tensor, mask: Tensor) -> Tensor:
        """(N, T, D) embeddings of steps (N, T, F); what stands where `mask` (N, T) is False has no meaning."""


class IdentityEncoder(StepEncoder):
    """Steps as they are, which is how OTR (arXiv 2303.13971) compares them: in their own units, without a mean.

    Args:
        size: F, numbers in a step.
        array: name of the array (T, F) that is read.
    """

    def __init__(self, size: int, array: str = OBSERVATIONS) -> None:
        super().__init__(size, size, array)

    @property
    def settings(self) -> dict[str, Any]:
        """See `StepEncoder`."""
        return {"size": self.size, "array": self.array}

    def forward(self, steps: Tensor, mask: Tensor) -> Tensor:
        """(N, T, F) the steps."""
        return steps


class PerceptronEncoder(StepEncoder):
    """A perceptron over standardised numbers (see `Scale`).

    RAPL's own is `hidden: []`, a linear map to 32 numbers, over the features of a frozen image model.

    Args:
        size: F, numbers in a step.
        hidden: widths of the hidden layers; none for a linear map.
        width: D, numbers in an embedding.
        array: name of the array (T, F) that is read.
        init_seed: seed of random weights; members of an ensemble differ in it.

    Raises:
        PrefalignError: for sizes below 1.
    """

    def __init__(
        self,
        size: int,
        hidden: Sequence[int] = (256, 256),
        width: int = 32,
        array: str = OBSERVATIONS,
        init_seed: int = 0,
    ) -> None:
        super().__init__(size, width, array)
        if any(units < 1 for units in hidden):
            raise PrefalignError(f"expected hidden layers of at least 1 unit, got {list(hidden)}")
        self.hidden, self.init_seed = tuple(hidden), init_seed
        self.scale = Scale(size)
        self.network: nn.Module | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """See `StepEncoder`."""
        return {"size": self.size, "hidden": list(self.hidden), "width": self.width, "array": self.array}

    def configure_model(self) -> None:
        """Make the network with random weights, once."""
        if self.network is not None:
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.init_seed)
            self.network = perceptron(self.size, self.hidden, self.width)

    def forward(self, steps: Tensor, mask: Tensor) -> Tensor:
        """(N, T, D) embeddings.

        Raises:
            PrefalignError: before `configure_model`.
        """
        if self.network is None:
            raise PrefalignError("the encoder has no weights yet: call configure_model first")
        found: Tensor = self.network(self.scale(steps, mask).to(next(self.network.parameters()).dtype))
        return found
