"""All that a distance between a mesh and its reference depends on, in one place."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from prefalign.interfaces import PrefalignError, unknown_name
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.functional.fidelity import SAMPLES, TAUS, cloud_from, fidelity, surface_fidelity
from prefalign_mesh3d.metrics.placement import Placement

DistanceTo = Literal["points", "surface"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a mesh is compared with its reference.

    Attributes:
        placement: the frame in which the shapes are compared.
        samples: points drawn from either surface. All distances shrink with it: even two draws from one surface differ.
        seed: of the points of the mesh; those of the reference use the next one.
        taus: distances of the F-scores, in units of the placed shapes.
        to: distances from points to the nearest `points`, as papers compute them, or to the nearest `surface`, which is
            exact and needs open3d.

    Raises:
        PrefalignError: for numbers out of range, or an unknown `to`.
    """

    placement: Placement = field(default_factory=Placement)
    samples: int = SAMPLES
    seed: int = 0
    taus: tuple[float, ...] = TAUS
    to: DistanceTo = "points"

    def __post_init__(self) -> None:
        if self.samples < 1 or self.seed < 0:
            raise PrefalignError(f"expected samples >= 1 and seed >= 0, got {self.samples} and {self.seed}")
        if self.to not in get_args(DistanceTo):
            raise unknown_name("to", self.to, get_args(DistanceTo))
        if not all(tau > 0 for tau in self.taus):
            raise PrefalignError(f"expected taus above 0, got {list(self.taus)}")

    @property
    def label(self) -> str:
        """What stands behind the names of figures: `side_1.9/n1024`, or `side_1.9/n1024/surface`."""
        return f"{self.placement.label}/n{self.samples}{'/surface' if self.to == 'surface' else ''}"

    def settings(self) -> dict[str, Any]:
        """Everything, as plain JSON values."""
        numbers = {"samples": self.samples, "seed": self.seed, "taus": list(self.taus)}
        return {**asdict(self.placement), **numbers, "to": self.to}

    def figures(self, mesh: Mesh, reference: Mesh, where: str = "the reference") -> dict[str, float] | None:
        """The figures of `fidelity_names` of one mesh, None for a mesh without area.

        Args:
            mesh, reference: the two shapes.
            where: what the reference is called in an error.

        Raises:
            PrefalignError: for a reference without area, or without open3d where it is needed.
        """
        try:
            _, whole = self.placement.place(reference, reference)
            expected = cloud_from(whole, self.samples, self.seed + 1)
        except MeshError as error:
            raise PrefalignError(f"{where}: {error}") from error
        try:
            placed, _ = self.placement.place(mesh, reference)
            drawn = cloud_from(placed, self.samples, self.seed)
        except MeshError:
            return None
        if self.to == "surface":
            return surface_fidelity(drawn, placed, expected, whole, self.taus)
        return fidelity(drawn, expected, self.taus)


__all__ = ["Comparison", "DistanceTo"]
