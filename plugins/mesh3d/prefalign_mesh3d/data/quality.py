"""Which meshes are worth learning from. DeepMesh's thresholds are not published; these are ours."""

from __future__ import annotations

from dataclasses import dataclass

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import GridMesh
from prefalign_mesh3d.metrics.functional.edges import (
    boundary_edge_ratio,
    edges_of,
    is_watertight,
    non_manifold_edge_ratio,
)
from prefalign_mesh3d.metrics.functional.topology import components

#: Reasons that the thresholds give, beside those of `Refusal`.
FEW_FACES, MANY_FACES, COLLAPSED = "too few faces", "too many faces", "collapsed on the grid"
OPEN, NON_MANIFOLD, PARTS = "too open", "too many non-manifold edges", "too many parts"


@dataclass(frozen=True, slots=True)
class Figures:
    """What a mesh is on the tokenizer's grid, where it is learnt from.

    Attributes:
        faces: different faces with three different corners.
        lost: share of the file's faces that are not among them, in [0, 1]: repeated, or too small for the grid.
        boundary: share of edges with one face, in [0, 1].
        non_manifold: share of edges with more than two, in [0, 1].
        parts: that no edge connects.
        watertight: whether every edge has two faces.
    """

    faces: int
    lost: float
    boundary: float
    non_manifold: float
    parts: int
    watertight: bool


def figures(grid: GridMesh, file_faces: int) -> Figures:
    """The figures of a mesh with at least one face on the grid.

    Args:
        grid: the mesh on the tokenizer's grid.
        file_faces: faces of the file, triangulated.
    """
    edges = edges_of(grid)
    return Figures(
        faces=len(grid.faces),
        lost=1 - len(grid.faces) / file_faces,
        boundary=boundary_edge_ratio(edges),
        non_manifold=non_manifold_edge_ratio(edges),
        parts=components(edges),
        watertight=is_watertight(edges),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What a mesh must be to be kept; bounds are included.

    Attributes:
        min_faces, max_faces: of faces on the grid.
        lost, boundary, non_manifold, parts: the most of each of the `Figures`.

    Raises:
        MeshError: for bounds that no mesh could meet.
    """

    min_faces: int = 4
    max_faces: int = 8000
    lost: float = 0.5
    boundary: float = 0.3
    non_manifold: float = 0.1
    parts: int = 200

    def __post_init__(self) -> None:
        if not 1 <= self.min_faces <= self.max_faces:
            raise MeshError(f"expected 1 <= min_faces <= max_faces, got {self.min_faces} and {self.max_faces}")
        for name in ("lost", "boundary", "non_manifold"):
            if not 0 <= getattr(self, name) <= 1:
                raise MeshError(f"{name}: expected a share in [0, 1], got {getattr(self, name)}")
        if self.parts < 1:
            raise MeshError(f"parts: expected at least 1, got {self.parts}")

    def objection(self, mesh: Figures) -> tuple[str, str] | None:
        """The first reason against a mesh and the number behind it, or None."""
        if mesh.faces < self.min_faces:
            return FEW_FACES, f"{mesh.faces} faces on the grid, and min_faces is {self.min_faces}"
        if mesh.faces > self.max_faces:
            return MANY_FACES, f"{mesh.faces} faces on the grid, and max_faces is {self.max_faces}"
        shares = ((COLLAPSED, "lost", "faces"), (OPEN, "boundary", "edges"), (NON_MANIFOLD, "non_manifold", "edges"))
        for reason, name, what in shares:
            if getattr(mesh, name) > getattr(self, name):
                return reason, f"{getattr(mesh, name):.3f} of its {what}, and {name} is {getattr(self, name):g}"
        if mesh.parts > self.parts:
            return PARTS, f"{mesh.parts} parts, and parts is {self.parts}"
        return None


__all__ = ["Figures", "Quality", "figures"]
