"""Distances of generated meshes from their references, as a metric over many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.comparison import Comparison
from prefalign_mesh3d.metrics.functional.fidelity import fidelity_names
from prefalign_mesh3d.metrics.mean import MeanOverMeshes


class MeshDistances(MeanOverMeshes):
    """Chamfer, Hausdorff, F-scores and normal consistency of meshes and their references.

    `compute()` gives the means of `fidelity_names` with `valid` and `meshes`. Since no such figure means anything
    without them, the placement and the number of points are part of its name: `chamfer_l1_sum/side_1.9/n1024`. A mesh
    without area is not valid.

    Args:
        comparison: placement, number of points, seed and the distances of F-scores.
        kwargs: of torchmetrics' `Metric`.
    """

    def __init__(self, comparison: Comparison | None = None, **kwargs: Any) -> None:
        self.comparison = comparison or Comparison()
        super().__init__(fidelity_names(self.comparison.taus), **kwargs)

    def update(self, meshes: Sequence[Mesh], references: Sequence[Mesh]) -> None:
        """Add N meshes and their references.

        Raises:
            PrefalignError: for another number of references, or a reference without area.
        """
        if len(meshes) != len(references):
            raise PrefalignError(f"expected a reference for each of {len(meshes)} meshes, got {len(references)}")
        for index, (mesh, reference) in enumerate(zip(meshes, references, strict=True)):
            self.add(self.comparison.figures(mesh, reference, f"reference {index}"))

    def shown(self, name: str) -> str:
        """The name with the placement and the number of points."""
        return f"{name}/{self.comparison.label}"


__all__ = ["MeshDistances"]
