"""Which faces of a mesh are good: what masks over tokens are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.mesh.grid import dequantise
from prefalign_mesh3d.mesh.mesh import GridMesh
from prefalign_mesh3d.metrics.functional.quads import quads


class FaceRule(ABC):
    """Says of every face of a mesh whether it is good."""

    @abstractmethod
    def __call__(self, mesh: GridMesh, part: np.ndarray) -> np.ndarray:
        """(F,) bool.

        Args:
            mesh: a decoded mesh, its faces in the order of the stream and none of them twice.
            part: (F,) int64 which part of the stream a face is written in: its fan, where the format has fans.
        """

    def settings(self) -> dict[str, Any]:
        """Name and numbers, as plain JSON values."""
        return {"rule": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]  # rules are dataclasses


@dataclass(frozen=True, slots=True)
class ManifoldFaces(FaceRule):
    """Good is a face each of whose edges has exactly two faces: no hole at it, and nothing crowded onto it."""

    def __call__(self, mesh: GridMesh, part: np.ndarray) -> np.ndarray:
        """(F,) bool; see the class."""
        starts, ends = mesh.faces, np.roll(mesh.faces, -1, axis=1)
        keys = np.minimum(starts, ends) * len(mesh.vertices) + np.maximum(starts, ends)
        _, edge, faces = np.unique(keys, return_inverse=True, return_counts=True)
        return (faces[edge.reshape(-1, 3)] == 2).all(1)


@dataclass(frozen=True, slots=True)
class QuadFaces(FaceRule):
    """Good is a face that is half of a good quad: Mesh-RFT's rule (arXiv 2505.16761).

    Attributes:
        quality: least weighted mean of the quad's angle and aspect, in [0, 1]
            (`prefalign_mesh3d.metrics.functional.quads.Quads.quality`); the paper does not give its value.

    Raises:
        PrefalignError: for a number out of range.
    """

    quality: float

    def __post_init__(self) -> None:
        _check_share("quality", self.quality)

    def __call__(self, mesh: GridMesh, part: np.ndarray) -> np.ndarray:
        """(F,) bool; see the class."""
        found = _face_quality(mesh)
        return (found > 0) & (found >= self.quality)


@dataclass(frozen=True, slots=True)
class QuadFans(FaceRule):
    """Good are the faces of a part, such as a fan, whose faces are all halves of quads that are good enough.

    Hunyuan3D Studio's variant of Mesh-RFT's rule: in a stream of fans a wrong token spoils the rest of its fan, so that
    a fan is good as a whole or not at all.

    Attributes:
        quality: least quality of the quad of every face, as for `QuadFaces`.
        mean_quality: least mean quality over the part's faces.

    Raises:
        PrefalignError: for a number out of range, or a mean that every part has.
    """

    quality: float
    mean_quality: float

    def __post_init__(self) -> None:
        _check_share("quality", self.quality)
        _check_share("mean_quality", self.mean_quality)
        if self.mean_quality < self.quality:
            problem = f"every part whose faces have {self.quality} has it; give at least that"
            raise PrefalignError(f"a mean_quality of {self.mean_quality} has no effect: {problem}")

    def __call__(self, mesh: GridMesh, part: np.ndarray) -> np.ndarray:
        """(F,) bool; see the class."""
        found = _face_quality(mesh)
        _, which, faces = np.unique(part, return_inverse=True, return_counts=True)
        bad = np.bincount(which, (found <= 0) | (found < self.quality), len(faces))
        mean = np.bincount(which, found, len(faces)) / faces
        return ((bad == 0) & (mean >= self.mean_quality))[which]


def _face_quality(mesh: GridMesh) -> np.ndarray:
    """(F,) quality of the quad that a face is half of, 0 for faces in none."""
    return quads(dequantise(mesh)).face_quality if len(mesh.faces) else np.zeros(0)


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise PrefalignError(f"expected a {name} in [0, 1], got {value}")


__all__ = ["FaceRule", "ManifoldFaces", "QuadFaces", "QuadFans"]
