"""BPT's tokenizer (arXiv 2411.07025): fans of triangles under a two-level index."""

from __future__ import annotations

from typing import ClassVar

from prefalign_mesh3d.tokenizers.blocks import BlockTokenizer


class BPT(BlockTokenizer):
    """Fans of triangles whose vertices are written as block and offset.

    The published layout is 8, 16: 128 levels, 5,120 ids of geometry. Ids: blocks, offsets, blocks of centres, begin,
    end.

    Args:
        blocks, offsets: cells along one side of the cube, and of a block.
        compat: write the stream of the published code (see `BlockTokenizer`), for weights trained on it.
    """

    name: ClassVar[str] = "bpt"

    def __init__(self, blocks: int = 8, offsets: int = 16, compat: bool = False) -> None:
        self.blocks, self.offsets = blocks, offsets
        super().__init__((blocks, offsets), compat)


__all__ = ["BPT"]
