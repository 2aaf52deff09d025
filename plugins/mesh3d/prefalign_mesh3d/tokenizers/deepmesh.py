"""DeepMesh's tokenizer (arXiv 2503.15265, section 3): fans of triangles under a three-level index."""

from __future__ import annotations

from typing import ClassVar

from prefalign_mesh3d.tokenizers.blocks import BlockTokenizer


class DeepMesh(BlockTokenizer):
    """Fans of triangles whose vertices are written as region, block and offset.

    The published layout is 4, 8, 16: 512 levels, 4,736 ids of geometry. Ids: regions, blocks, offsets, regions of
    centres, begin, end.

    Args:
        regions, blocks, offsets: cells along one side of the cube, of a region, and of a block.
        compat: write the stream of the published code (see `BlockTokenizer`), for weights trained on it.
    """

    name: ClassVar[str] = "deepmesh"

    def __init__(self, regions: int = 4, blocks: int = 8, offsets: int = 16, compat: bool = False) -> None:
        self.regions, self.blocks, self.offsets = regions, blocks, offsets
        super().__init__((regions, blocks, offsets), compat)


__all__ = ["DeepMesh"]
