"""Frozen encoders of views: what each picture shows, and beside a prompt how well it shows it, as a vector."""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from prefalign.functional.fingerprint import fingerprint
from prefalign.interfaces import Encoder, Media, PrefalignError


class ViewEncoder(nn.Module, ABC):
    """A frozen encoder of pictures under prompts.

    Attributes:
        width: size D of a vector; known once `configure_model` was called.
    """

    width: int

    def configure_model(self) -> None:
        """Load the weights; calling it again changes nothing. An encoder without weights needs none of it."""

    @abstractmethod
    def forward(self, images: Tensor, prompts: Sequence[Sequence[str]]) -> Tensor:
        """(N, K, D) float32 vectors of K views each; the same view always gives the same vector.

        Args:
            images: (N, K, H, W, 3) uint8.
            prompts: N lists of K, one for each view.
        """

    def fingerprint(self) -> str:
        """A hash of the weights and of how pictures are brought to them."""
        return hashlib.sha256(repr((type(self).__name__, fingerprint(self))).encode()).hexdigest()


class PixelViews(ViewEncoder):
    """The picture itself, made small: no weights, blind to the prompt. A baseline, and what tests learn from.

    Args:
        side: pixels along a side that are left, D = 3 · side².
    """

    def __init__(self, side: int = 12) -> None:
        super().__init__()
        if side < 1:
            raise PrefalignError(f"expected at least 1 pixel along a side, got {side}")
        self.side, self.width = side, 3 * side * side

    def forward(self, images: Tensor, prompts: Sequence[Sequence[str]]) -> Tensor:
        """(N, K, D) colours from -1 to 1."""
        small = nn.functional.adaptive_avg_pool2d(channels_first(images), self.side)
        return (2 * small - 1).reshape(*images.shape[:2], self.width)

    def fingerprint(self) -> str:
        """A hash of the size."""
        return hashlib.sha256(f"PixelViews {self.side}".encode()).hexdigest()


class MediaViews(ViewEncoder):
    """Any `Encoder` of pictures, each view handed to it as a PNG; blind to the prompt.

    Args:
        encoder: of media of the kind `image`.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self.width = encoder, encoder.width

    @torch.no_grad()
    def forward(self, images: Tensor, prompts: Sequence[Sequence[str]]) -> Tensor:
        """(N, K, D) vectors."""
        from PIL import Image

        media = []
        for picture in images.flatten(0, 1).cpu().numpy():
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, "PNG")
            media.append(Media(kind="image", data=buffer.getvalue()))
        return self.encoder(media).float().reshape(*images.shape[:2], self.width)

    def fingerprint(self) -> str:
        """The encoder's."""
        return self.encoder.fingerprint()


def channels_first(images: Tensor) -> Tensor:
    """(N·K, 3, H, W) float32 from 0 to 1 of (N, K, H, W, 3) uint8 pictures."""
    return images.flatten(0, 1).permute(0, 3, 1, 2).float() / 255


__all__ = ["MediaViews", "PixelViews", "ViewEncoder", "channels_first"]
