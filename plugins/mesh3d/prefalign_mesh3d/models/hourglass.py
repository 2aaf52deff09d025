"""The hourglass decoder (Meshtron, arXiv 2412.09548; DeepMesh, arXiv 2503.15265): inner blocks run on every third, and
every ninth, position.

Position p of a level is shortened into group ⌊p/3⌋ of the level within: group g is made of positions 3g-2, 3g-1 and 3g,
so that what comes back to positions 3g, 3g+1 and 3g+2 knows nothing of what stands behind them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from prefalign_mesh3d.models.attention import Block, BlockCache, Rotary

#: Neighbours that are merged from one level to the next; a vertex has three coordinates, a face three vertices.
SHORTEN = 3


class Hourglass(nn.Module):
    """A level of blocks around a shorter level of the same kind.

    Args:
        depths: numbers of blocks from the outermost level inwards and out again, an odd number of them: [4, 4, 5, 4, 4]
            is four blocks at full length, four at a third, five at a ninth, and back. One number is a plain decoder.
        width, heads, inner: of the blocks.
        source_width: width of the condition's vectors.
        rope_base: base of the rotary positions, which count the positions of their level.
    """

    def __init__(
        self, depths: Sequence[int], width: int, heads: int, inner: int, source_width: int, rope_base: float = 10_000.0
    ) -> None:
        super().__init__()
        self.rotary = Rotary(width // heads, rope_base)

        def blocks(count: int) -> nn.ModuleList:
            return nn.ModuleList(Block(width, heads, inner, source_width) for _ in range(count))

        self.before = blocks(depths[0])
        self.within: Hourglass | None = None
        self.after = nn.ModuleList()
        if len(depths) > 1:
            self.shorten = nn.Linear(SHORTEN * width, width, bias=False)
            self.within = Hourglass(depths[1:-1], width, heads, inner, source_width, rope_base)
            self.expand = nn.Linear(width, SHORTEN * width, bias=False)
            self.after = blocks(depths[-1])

    def forward(self, x: Tensor, start: int, source: Tensor, cache: LevelCache | None = None) -> Tensor:
        """(N, T, D) to the same.

        Args:
            x: the inputs at positions start … start + T - 1 of a window that begins at `start`; with a cache that
                already holds positions, the single input behind them.
            start: position of this level at which the window begins.
            source: (N, M, source width) condition.
            cache: what is known of the window so far; None for a whole window at once.
        """
        done = 0 if cache is None else cache.length
        turn = self.rotary(start + done, x.shape[1], x)
        x = self._run(self.before, x, turn, source, None if cache is None else cache.before)
        if self.within is not None:
            inner = None if cache is None else cache.within
            if not done:
                groups = self.within(self._groups(x), start // SHORTEN, source, inner)
                back = self.expand(groups).unflatten(-1, (SHORTEN, -1)).flatten(1, 2)
                if cache is not None:
                    cache.remember(x, back[:, -SHORTEN:])
                x = x + back[:, : x.shape[1]]
            else:
                assert cache is not None
                if done % SHORTEN == 0:
                    group = self.shorten(torch.cat([cache.tail, x], dim=1).flatten(1))[:, None]
                    cache.back = self.expand(self.within(group, start // SHORTEN, source, inner)).unflatten(
                        -1, (SHORTEN, -1)
                    )[:, 0]
                back = cache.back[:, done % SHORTEN, None]
                cache.remember(x, cache.back)
                x = x + back
            x = self._run(self.after, x, turn, source, None if cache is None else cache.after)
        if cache is not None:
            cache.length += x.shape[1]
        return x

    def _groups(self, x: Tensor) -> Tensor:
        """(N, T, D) to (N, ⌈T/3⌉, D)."""
        count = -(-x.shape[1] // SHORTEN)
        shifted = functional.pad(x, (0, 0, SHORTEN - 1, 0))[:, : SHORTEN * count]
        return self.shorten(shifted.unflatten(1, (count, SHORTEN)).flatten(2))

    def _run(
        self,
        blocks: nn.ModuleList,
        x: Tensor,
        turn: tuple[Tensor, Tensor],
        source: Tensor,
        caches: list[BlockCache] | None,
    ) -> Tensor:
        for index, block in enumerate(blocks):
            x = block(x, turn, source, None if caches is None else caches[index])
        return x

    def cache(self, capacity: int) -> LevelCache:
        """An empty cache for windows of at most `capacity` positions."""
        within = None if self.within is None else self.within.cache(-(-capacity // SHORTEN))
        before = [BlockCache(capacity) for _ in self.before]
        return LevelCache(before, within, [BlockCache(capacity) for _ in self.after])


class LevelCache:
    """What a level keeps while sampling.

    Attributes:
        length: positions so far.
        tail: (N, 2, D) the last two hidden states in front of the shortening.
        back: (N, 3, D) what the current group gave back to its three positions.
    """

    def __init__(self, before: list[BlockCache], within: LevelCache | None, after: list[BlockCache]) -> None:
        self.before, self.within, self.after = before, within, after
        self.length = 0
        self.tail = self.back = torch.empty(0)

    def remember(self, x: Tensor, back: Tensor) -> None:
        """Keep the end of these hidden states (N, T, D), and what their last group gave back."""
        # In front of the window's first position stand zeros, as `_groups` has it.
        before = self.tail if self.length else x.new_zeros(len(x), SHORTEN - 1, x.shape[-1])
        self.tail, self.back = torch.cat([before, x], dim=1)[:, 1 - SHORTEN :], back

    def keep(self, rows: Tensor) -> None:
        """Forget the sequences that are not among `rows`."""
        for cache in (*self.before, *self.after):
            cache.keep(rows)
        if self.within is not None:
            self.within.keep(rows)
            self.tail, self.back = self.tail[rows], self.back[rows]


__all__ = ["SHORTEN", "Hourglass", "LevelCache"]
