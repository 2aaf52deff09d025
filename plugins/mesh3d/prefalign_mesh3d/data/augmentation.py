"""Copies of a mesh that lie, measure or face otherwise: a pure function of mesh, settings and seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh

AXES = "xyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How a copy may differ. The mesh is placed around the origin, and the copy is not placed anew.

    DeepMesh's published code turns by quarters about x, and holds a scale jitter of 0.95 to 1.05 that is switched off.

    Attributes:
        turns_about: axes about which the copy is turned by 0 to 3 quarters, one after the other, such as `x` or `yz`.
        scale: smallest and largest factor of the whole, drawn evenly. A mesh placed with its longest side from -0.95
            to 0.95 stays in the cube [-1, 1] up to 1.05.
        per_axis: the same for each axis by itself, on top.
        mirror: axes at which the copy is mirrored in half of the cases. Faces keep their outside.

    Raises:
        MeshError: for an axis that there is not, and for factors that are not 0 < smallest <= largest.
    """

    turns_about: str = "x"
    scale: tuple[float, float] = (0.95, 1.05)
    per_axis: tuple[float, float] = (1.0, 1.0)
    mirror: str = ""

    def __post_init__(self) -> None:
        for name in ("turns_about", "mirror"):
            if not set(getattr(self, name)) <= set(AXES):
                raise MeshError(f"{name}: expected axes among 'xyz', got {getattr(self, name)!r}")
        for name in ("scale", "per_axis"):
            low, high = getattr(self, name)
            if not 0 < low <= high < np.inf:
                raise MeshError(f"{name}: expected 0 < smallest <= largest, got {(low, high)}")

    @property
    def largest(self) -> float:
        """The largest factor by which a copy can be longer along an axis."""
        return self.scale[1] * self.per_axis[1]

    def matrix(self, seed: int) -> np.ndarray:
        """(3, 3) float64 what a copy's vertices are multiplied with, as columns."""
        rng = np.random.default_rng(seed)
        # All that could be drawn is drawn, so that a switch does not change what the others do.
        quarters, mirrored = rng.integers(4, size=3), rng.random(3) < 0.5
        whole, single = rng.uniform(*self.scale), rng.uniform(*self.per_axis, size=3)
        matrix = np.eye(3)
        for axis in self.turns_about:
            matrix = quarter_turns(AXES.index(axis), int(quarters[AXES.index(axis)])) @ matrix
        signs = [-1.0 if axis in self.mirror and mirrored[index] else 1.0 for index, axis in enumerate(AXES)]
        return np.diag(np.array(signs) * whole * single) @ matrix


def augmented(mesh: Mesh, augmentation: Augmentation, seed: int) -> Mesh:
    """A copy of the mesh; equal arguments give equal copies."""
    matrix = augmentation.matrix(seed)
    faces = mesh.faces[:, ::-1] if np.linalg.det(matrix) < 0 else mesh.faces
    return Mesh(mesh.vertices @ matrix.T, faces)


def quarter_turns(axis: int, count: int) -> np.ndarray:
    """(3, 3) the rotation by count · 90 degrees about an axis, counter-clockwise seen from its tip; exact."""
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[count % 4]
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = cosine
    matrix[second, first], matrix[first, second] = sine, -sine
    return matrix


__all__ = ["AXES", "Augmentation", "augmented", "quarter_turns"]
