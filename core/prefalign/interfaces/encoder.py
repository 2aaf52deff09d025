"""The encoder: a frozen feature extractor whose outputs may be cached by the content of their inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from prefalign.interfaces.record import Media


class Encoder(nn.Module, ABC):
    """A frozen feature extractor.

    Attributes:
        width: size D of a feature vector.
    """

    width: int

    @abstractmethod
    def forward(self, media: Sequence[Media]) -> Tensor:
        """(N, D) features of N media, float32; the same input always gives the same row, whatever its batch."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of weights and preprocessing; with a medium's own hash it keys cached features."""
