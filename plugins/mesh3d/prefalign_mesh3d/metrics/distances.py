"""Distances of generated meshes from their references, as a metric over many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.functional.fidelity import SAMPLES, TAUS, cloud_from, fidelity, fidelity_names
from prefalign_mesh3d.metrics.mean import MeanOverMeshes
from prefalign_mesh3d.metrics.placement import Placement


class MeshDistances(MeanOverMeshes):
    """Chamfer, Hausdorff, F-scores and normal consistency of meshes and their references.

    `compute()` gives the means of `fidelity_names` with `valid` and `meshes`. Since no such figure means anything
    without them, the placement and the number of points are part of its name: `chamfer_l1_sum/side_1.9/n1024`. A mesh
    without area is not valid.

    Args:
        placement: the frame in which the shapes are compared.
        samples: points drawn from either surface. All distances shrink with it: even two draws from one surface differ.
        seed: of the points of the meshes; those of the references use the next one.
        taus: distances of the F-scores, in units of the placed shapes.
        kwargs: of torchmetrics' `Metric`.
    """

    def __init__(
        self,
        placement: Placement | None = None,
        samples: int = SAMPLES,
        seed: int = 0,
        taus: Sequence[float] = TAUS,
        **kwargs: Any,
    ) -> None:
        self.placement = placement or Placement()
        self.samples, self.seed, self.taus = samples, seed, tuple(taus)
        super().__init__(fidelity_names(self.taus), **kwargs)

    def update(self, meshes: Sequence[Mesh], references: Sequence[Mesh]) -> None:
        """Add N meshes and their references.

        Raises:
            PrefalignError: for another number of references, or a reference without area.
        """
        if len(meshes) != len(references):
            raise PrefalignError(f"expected a reference for each of {len(meshes)} meshes, got {len(references)}")
        for index, (mesh, reference) in enumerate(zip(meshes, references, strict=True)):
            self.add(self.figures(mesh, reference, f"reference {index}"))

    def figures(self, mesh: Mesh, reference: Mesh, where: str = "the reference") -> dict[str, float] | None:
        """The figures of one mesh, None for one that is not valid.

        Args:
            mesh, reference: the two shapes.
            where: what the reference is called in an error.

        Raises:
            PrefalignError: for a reference without area.
        """
        try:
            whole = cloud_from(self.placement.place(reference, reference)[1], self.samples, self.seed + 1)
        except MeshError as error:
            raise PrefalignError(f"{where}: {error}") from error
        try:
            placed, _ = self.placement.place(mesh, reference)
            return fidelity(cloud_from(placed, self.samples, self.seed), whole, self.taus)
        except MeshError:
            return None

    def shown(self, name: str) -> str:
        """The name with the placement and the number of points."""
        return f"{name}/{self.placement.label}/n{self.samples}"


__all__ = ["MeshDistances"]
