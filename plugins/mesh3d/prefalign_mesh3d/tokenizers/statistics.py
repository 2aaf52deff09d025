"""What token sequences of many meshes cost, and how much of the vocabulary they use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import GridMesh
from prefalign_mesh3d.tokenizers.base import MeshTokenizer

#: Coordinates of a triangle that shares nothing with its neighbours, which ratios are relative to.
TOKENS_PER_LOOSE_FACE = 9


@dataclass(frozen=True, slots=True)
class TokenStatistics:
    """Sums and means over meshes with at least one face.

    Attributes:
        meshes, faces, tokens: how many, begin and end ids not counted.
        longest: tokens of the longest sequence.
        mean_ratio: mean over meshes of tokens / (9 faces), each mesh counted once; the figure that papers give.
        vocabulary_use: share of the ids of geometry that occur.
    """

    meshes: int
    faces: int
    tokens: int
    longest: int
    mean_ratio: float
    vocabulary_use: float

    @property
    def tokens_per_face(self) -> float:
        """Tokens / faces over all meshes together, where large ones count more."""
        return self.tokens / self.faces


def statistics(tokenizer: MeshTokenizer, grids: Iterable[GridMesh]) -> TokenStatistics:
    """Encode all meshes and count.

    Raises:
        MeshError: if no mesh has a face, or one has other levels than the tokenizer.
    """
    faces, lengths = [], []
    used = np.zeros(tokenizer.geometry_size, bool)
    for grid in grids:
        if len(grid.faces):
            tokens = tokenizer.encode(grid)
            used[tokens] = True
            faces.append(len(grid.faces))
            lengths.append(len(tokens))
    if not faces:
        raise MeshError("expected at least one mesh with a face")
    ratios = np.array(lengths) / (TOKENS_PER_LOOSE_FACE * np.array(faces))
    return TokenStatistics(len(faces), sum(faces), sum(lengths), max(lengths), float(ratios.mean()), float(used.mean()))


__all__ = ["TOKENS_PER_LOOSE_FACE", "TokenStatistics", "statistics"]
