"""State of objectives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from torch import Tensor, nn


class ExactBuffers(nn.Module):
    """A module whose buffers follow it to a device and keep their dtype.

    Training in half precision casts whole modules, and a running mean in bfloat16 stops moving after some 256 updates.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        kept: dict[str, Any] = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)
        for name, buffer in kept.items():
            setattr(self, name, buffer.to(getattr(self, name).device))
        return self
