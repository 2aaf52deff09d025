"""What draws answers in a policy's place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch

from prefalign.interfaces import Prompt, Response


class Sampler(ABC):
    """Answers to prompts, drawn with the help of a policy.

    It has no likelihood of its own and so is no `Policy`. Where only answers are wanted it can stand for one.
    """

    @abstractmethod
    def configure_model(self) -> None:
        """Load or build all weights that are needed; calling it again changes nothing."""

    @abstractmethod
    def sample(
        self, prompts: Sequence[Prompt], k: int = 1, /, *, generator: torch.Generator | None = None, **options: Any
    ) -> list[list[Response]]:
        """Up to `k` responses to each prompt; fewer, or none, where no more are worth an answer."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What tells it from another in a manifest, as plain JSON values; the weights are loaded for it."""
