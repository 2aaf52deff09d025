"""The network of the demonstration: a small transformer that predicts the velocity of latents under two events."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_CLOCK = torch.logspace(0, math.log10(200.0), 16)  # angular frequencies of the noise level in [0, 1]


class Block(nn.Module):
    """Pre-norm attention and a perceptron."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_qkv, self.to_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, tokens, width) to the same."""
        parts = self.to_qkv(self.norm_attention(tokens)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(*parts.unbind())
        tokens = tokens + self.to_out(attended.transpose(1, 2).flatten(2))
        mixed: Tensor = tokens + self.mlp(self.norm_mlp(tokens))
        return mixed


class EventTransformer(nn.Module):
    """Tokens are the two events of the caption and the latent's frames; the noise level is added to every one.

    Args:
        channels, frames: shape of a latent.
        events: number of event classes; the number behind the last one stands for no event.
        width, depth, heads: of the transformer.
    """

    def __init__(
        self, channels: int, frames: int, events: int, width: int = 80, depth: int = 3, heads: int = 4
    ) -> None:
        super().__init__()
        self.events = nn.Embedding(events + 1, width)
        self.enter, self.leave = nn.Linear(channels, width), nn.Linear(width, channels)
        self.positions = nn.Parameter(torch.randn(frames + 2, width) * 0.02)
        self.clock = nn.Sequential(nn.Linear(2 * len(_CLOCK), width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, noisy: Tensor, time: Tensor, events: Tensor) -> Tensor:
        """(N, channels, frames) velocities of noisy latents at noise levels (N,), under events (N, 2)."""
        angles = time.to(noisy)[:, None] * _CLOCK.to(noisy)
        clock = self.clock(torch.cat([angles.sin(), angles.cos()], -1))
        tokens = torch.cat([self.events(events), self.enter(noisy.transpose(1, 2))], 1)
        tokens = tokens + self.positions + clock[:, None]
        for block in self.blocks:
            tokens = block(tokens)
        velocity: Tensor = self.leave(self.norm(tokens[:, events.shape[1] :]))
        return velocity.transpose(1, 2)
