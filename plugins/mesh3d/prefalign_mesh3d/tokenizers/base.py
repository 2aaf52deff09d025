"""What every tokenizer of meshes can do. A tokenizer holds numbers only, so it travels to workers and into configs."""

from __future__ import annotations

import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import canonical, is_canonical, quantise
from prefalign_mesh3d.mesh.mesh import MAX_LEVELS, GridMesh, Mesh


@dataclass(frozen=True, slots=True)
class DecodeReport:
    """What a decoder met. A stream that an encoder wrote has zeros throughout.

    Attributes:
        bad_tokens: tokens before the end that no face was read from: outside the vocabulary, out of place, or cut off.
        degenerate: faces with two equal corners, dropped.
        duplicate: faces whose three vertices were there before, dropped.
    """

    bad_tokens: int = 0
    degenerate: int = 0
    duplicate: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A decoded stream.

    Attributes:
        mesh: welded mesh; its faces are in the order of the stream.
        report: what was dropped.
        face_of_token: (T,) int64 index of the mesh's face that a token belongs to: the first kept face with the vertex
            that the token is part of. -1 for tokens of no kept face, and for begin, end and padding.
    """

    mesh: GridMesh
    report: DecodeReport
    face_of_token: np.ndarray = field(repr=False)


class MeshTokenizer(ABC):
    """Meshes on a grid to token ids and back. Constructor arguments are attributes of the same names.

    Attributes:
        name: short name, as commands and configs call it.
        levels: cells along one side of the cube.
        geometry_size: number of ids that carry geometry; they are 0 .. geometry_size - 1.
        keeps_winding: whether decoded faces turn the way they did.
    """

    name: ClassVar[str]
    keeps_winding: ClassVar[bool] = True
    levels: int
    geometry_size: int

    @property
    def bos_id(self) -> int:
        """Id that begins a sequence."""
        return self.geometry_size

    @property
    def eos_id(self) -> int:
        """Id that ends a sequence; also used as padding, behind the end."""
        return self.geometry_size + 1

    @property
    def vocab_size(self) -> int:
        """Number of all ids."""
        return self.geometry_size + 2

    def encode(self, grid: GridMesh) -> np.ndarray:
        """(T,) int64 geometry ids of a mesh; one that is not in canonical order is brought into it first.

        Raises:
            MeshError: for a mesh of other levels.
        """
        if grid.levels != self.levels:
            raise MeshError(
                f"{self.name}: expected a mesh on {self.levels} levels, got {grid.levels}; quantise it anew"
            )
        if not len(grid.faces):
            return np.zeros(0, np.int64)
        return self._encode(grid if is_canonical(grid) else canonical(grid.vertices, grid.faces, grid.levels))

    @abstractmethod
    def _encode(self, grid: GridMesh) -> np.ndarray:
        """The same for a mesh of the right levels, in canonical order, with at least one face."""

    @abstractmethod
    def decode(self, tokens: np.ndarray) -> Decoded:
        """The mesh of any integer sequence, begin and end ids included or not; reading stops at the end id."""

    def part_starts(self, tokens: np.ndarray) -> np.ndarray:
        """(T,) bool, tokens with which a part begins that can be read without what stands before it: here a face."""
        face = self.decode(tokens).face_of_token
        return (face >= 0) & np.diff(np.maximum.accumulate(face), prepend=-1).astype(bool)

    def tokenize(self, mesh: Mesh) -> np.ndarray:
        """(T,) ids of a mesh with real coordinates: placed, quantised, welded, ordered, encoded."""
        return self.encode(quantise(mesh, self.levels))

    def encode_batch(self, grids: Iterable[GridMesh]) -> list[np.ndarray]:
        """The ids of each mesh, one after another: a mesh costs less time than handing it to another process."""
        return [self.encode(grid) for grid in grids]

    def decode_batch(self, sequences: Iterable[np.ndarray]) -> list[Decoded]:
        """The mesh of each sequence."""
        return [self.decode(tokens) for tokens in sequences]

    def settings(self) -> dict[str, Any]:
        """Name and constructor arguments as plain JSON values; `names.tokenizer(**settings)` builds the same again."""
        arguments = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {"name": self.name, **{argument: getattr(self, argument) for argument in arguments}}

    def fingerprint(self) -> str:
        """A hash of `settings`."""
        return hashlib.sha256(repr(sorted(self.settings().items())).encode()).hexdigest()


def checked_levels(name: str, levels: int) -> int:
    """The number of levels, if it is one.

    Raises:
        MeshError: where it is not an integer from 2 to `MAX_LEVELS`.
    """
    if not isinstance(levels, int) or isinstance(levels, bool) or not 2 <= levels <= MAX_LEVELS:
        raise MeshError(f"{name}: expected between 2 and {MAX_LEVELS} levels, got {levels!r}")
    return levels


__all__ = ["DecodeReport", "Decoded", "MeshTokenizer", "checked_levels"]
