"""The delay pattern: in which step of a sequence each stream's code of a frame is predicted.

Axes: N songs, K streams, T frames, S steps. Stream k's code of frame t stands in step t + delay_k (MusicGen, arXiv
2306.05284 section 2.1), so that it is predicted after the codes of the same frame in streams of less delay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError


@dataclass(frozen=True)
class DelayPattern:
    """Delays of K streams.

    Attributes:
        delays: steps by which each stream lags, 0 or more; at least one is 0.

    Raises:
        PrefalignError: for no stream, a negative delay, or a delay that all share, which would only waste steps.
    """

    delays: tuple[int, ...]

    def __init__(self, delays: Sequence[int]) -> None:
        object.__setattr__(self, "delays", tuple(delays))
        if not self.delays or min(self.delays) != 0:
            raise PrefalignError(f"expected delays of 0 or more, at least one of them 0, got {list(self.delays)}")

    @property
    def streams(self) -> int:
        """K."""
        return len(self.delays)

    def steps(self, frames: int) -> int:
        """S, the steps that `frames` take."""
        return frames + max(self.delays)

    def apply(self, codes: Tensor, fill: int | Tensor) -> Tensor:
        """(N, K, S) the codes (N, K, T) in the steps in which they are predicted, `fill` elsewhere.

        Args:
            codes: of every frame.
            fill: what stands where a stream has no frame: one number, or (K,) one for each stream.
        """
        frames = codes.shape[-1]
        value = torch.as_tensor(fill, dtype=codes.dtype, device=codes.device).expand(self.streams)
        out = value[None, :, None].expand(len(codes), -1, self.steps(frames)).clone()
        for k, delay in enumerate(self.delays):
            out[:, k, delay : delay + frames] = codes[:, k]
        return out

    def revert(self, steps: Tensor) -> Tensor:
        """(N, K, T, …) what `apply` placed at the steps of (N, K, S, …): codes, logits or log-probabilities.

        Raises:
            PrefalignError: for fewer steps than the delays alone take.
        """
        frames = steps.shape[2] - max(self.delays)
        if frames < 0:
            raise PrefalignError(f"{steps.shape[2]} steps are fewer than the delays {list(self.delays)} take")
        return torch.stack([steps[:, k, delay : delay + frames] for k, delay in enumerate(self.delays)], dim=1)

    def mask(self, frames: Tensor, steps: int | None = None) -> Tensor:
        """(N, K, S) bool, the steps that hold a code of songs of `frames` (N,) frames.

        Args:
            frames: of each song.
            steps: S; what the longest song takes if None.
        """
        width = self.steps(int(frames.max())) if steps is None else steps
        delays = torch.tensor(self.delays, device=frames.device)
        place = torch.arange(width, device=frames.device)[None, :] - delays[:, None]
        return (place[None] >= 0) & (place[None] < frames[:, None, None])
