"""Heads that turn the vectors of K views into one number: both variants of Reward3D (DreamReward, arXiv 2403.14613)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from prefalign.interfaces import PrefalignError


class ConcatScorer(nn.Module):
    """Each view's vector to 128 numbers, those of all views beside one another to one: the paper's variant.

    D → 1024 → 128 for each view, K · 128 → 256 → 64 → 1 for all. There are no activation functions: the whole is linear
    in the vectors, and knows which view is which.

    Args:
        width: D.
        views: K.
        dropout: between the layers.
    """

    def __init__(self, width: int, views: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.Linear(width, 1024), nn.Dropout(dropout), nn.Linear(1024, 128))
        self.all = nn.Sequential(
            nn.Linear(128 * views, 256), nn.Dropout(dropout), nn.Linear(256, 64), nn.Dropout(dropout), nn.Linear(64, 1)
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """(N,) numbers of (N, K, D) vectors."""
        return self.all(self.each(vectors).flatten(1)).squeeze(-1)


class CrossViewFusion(nn.Module):
    """Views look at one another, a gate mixes in what they found, their mean is scored: the later variant.

    a = attention(x, x, x) over the views, g = σ(W [x; a]), fused = g · a + (1 − g) · x, then the mean over the views
    and D → 1024 → 128 → 64 → 16 → 1 without activation functions. The order of the views does not matter.

    The published one trains attention and gate only, under ImageReward's own last layers; here all of it is trained.

    Args:
        width: D, a multiple of `heads`.
        dropout: between the last layers.
        heads: of the attention.

    Raises:
        PrefalignError: for a width that heads do not divide.
    """

    def __init__(self, width: int, dropout: float = 0.2, heads: int = 12) -> None:
        super().__init__()
        if width % heads:
            raise PrefalignError(f"{heads} heads do not divide vectors of {width} numbers; choose heads that do")
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.gate = nn.Linear(2 * width, width)
        sizes = (width, 1024, 128, 64, 16)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.Dropout(dropout)]
        self.score = nn.Sequential(*layers[:-1], nn.Linear(sizes[-1], 1))

    def forward(self, vectors: Tensor) -> Tensor:
        """(N,) numbers of (N, K, D) vectors."""
        found, _ = self.attention(vectors, vectors, vectors, need_weights=False)
        gate = torch.sigmoid(self.gate(torch.cat([vectors, found], -1)))
        return self.score((gate * found + (1 - gate) * vectors).mean(1)).squeeze(-1)


__all__ = ["ConcatScorer", "CrossViewFusion"]
