"""The blocks that both networks are made of: attention over what came before, attention over the condition, and a
gated layer, each behind a root-mean-square norm.

Axes: N sequences, T positions, M condition vectors, H heads, D width, K = D / H.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_layers import GradientCheckpointingLayer


class Rotary(nn.Module):
    """Rotary positions (arXiv 2104.09864) over all of a head's dimensions."""

    def __init__(self, head_width: int, base: float) -> None:
        super().__init__()
        self.head_width, self.base = head_width, base

    def forward(self, start: int, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """(T, K/2) cosine and sine of positions start … start + length - 1, in float32 or wider."""
        dtype = torch.promote_types(like.dtype, torch.float32)
        exponents = torch.arange(0, self.head_width, 2, device=like.device, dtype=dtype) / self.head_width
        positions = torch.arange(start, start + length, device=like.device, dtype=dtype)
        angles = positions[:, None] * self.base**-exponents
        return angles.cos(), angles.sin()


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """(N, H, T, K) with each pair (k, k + K/2) turned by its position's angle."""
    cos, sin = turn
    first, second = x.to(cos.dtype).chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


class KeyValues:
    """Keys and values of the positions so far, for one attention layer while sampling.

    Args:
        capacity: most positions.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.length = capacity, 0
        self._keys = self._values = torch.empty(0)

    def extended(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (N, H, length, K) with these (N, H, T, K) behind them."""
        if not self.length:
            shape = (*keys.shape[:2], self.capacity, keys.shape[-1])
            self._keys, self._values = keys.new_empty(shape), values.new_empty(shape)
        stop = self.length + keys.shape[2]
        self._keys[:, :, self.length : stop], self._values[:, :, self.length : stop] = keys, values
        self.length = stop
        return self._keys[:, :, :stop], self._values[:, :, :stop]

    def keep(self, rows: Tensor) -> None:
        """Forget the sequences that are not among `rows`."""
        self._keys, self._values = self._keys[rows], self._values[rows]


class SelfAttention(nn.Module):
    """Causal attention with rotary positions, no biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor] | None, cache: KeyValues | None) -> Tensor:
        """(N, T, D) to the same. With a cache that already holds positions, T is 1; without `turn`, every position
        sees every other."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        causal = turn is not None
        if turn is not None:
            q, k = rotate(q, turn), rotate(k, turn)
        if cache is not None:
            causal = not cache.length
            k, v = cache.extended(k, v)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=causal and q.shape[2] > 1)
        return self.out(mixed.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Attention over the condition, no positions, no biases."""

    def __init__(self, width: int, heads: int, source_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(source_width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def project(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (N, H, M, K) of a condition (N, M, source width)."""
        k, v = self.key_value(source).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return k, v

    def forward(self, x: Tensor, projected: tuple[Tensor, Tensor]) -> Tensor:
        """(N, T, D) to the same."""
        q = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(q, *projected)
        return self.out(mixed.transpose(1, 2).flatten(2))


class GatedLayer(nn.Module):
    """SwiGLU (arXiv 2002.05202), no biases."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, D) to the same."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(functional.silu(gate) * up)


class Block(GradientCheckpointingLayer):
    """Self-attention, then attention over the condition where there is one, then the gated layer.

    Args:
        source_width: width of the condition's vectors; None for a block without a condition.
    """

    def __init__(self, width: int, heads: int, inner: int, source_width: int | None) -> None:
        super().__init__()
        self.self_norm, self.inner_norm = (nn.RMSNorm(width, eps=1e-5) for _ in range(2))
        self.self_attention = SelfAttention(width, heads)
        self.layer = GatedLayer(width, inner)
        self.cross_norm = self.cross_attention = None
        if source_width is not None:
            self.cross_norm = nn.RMSNorm(width, eps=1e-5)
            self.cross_attention = CrossAttention(width, heads, source_width)

    def forward(
        self,
        x: Tensor,
        turn: tuple[Tensor, Tensor] | None = None,
        source: Tensor | None = None,
        cache: BlockCache | None = None,
    ) -> Tensor:
        """(N, T, D) to the same; `source` is (N, M, source width), read once where there is a cache."""
        x = x + self.self_attention(self.self_norm(x), turn, None if cache is None else cache.own)
        if self.cross_attention is not None and self.cross_norm is not None:
            assert source is not None, "a block with a condition is given one"
            if cache is None:
                projected = self.cross_attention.project(source)
            else:
                if cache.condition is None:
                    cache.condition = self.cross_attention.project(source)
                projected = cache.condition
            x = x + self.cross_attention(self.cross_norm(x), projected)
        return x + self.layer(self.inner_norm(x))


class BlockCache:
    """What a block keeps while sampling: its own keys and values, and those of the condition."""

    def __init__(self, capacity: int) -> None:
        self.own = KeyValues(capacity)
        self.condition: tuple[Tensor, Tensor] | None = None

    def keep(self, rows: Tensor) -> None:
        """Forget the sequences that are not among `rows`."""
        self.own.keep(rows)
        if self.condition is not None:
            self.condition = (self.condition[0][rows], self.condition[1][rows])
