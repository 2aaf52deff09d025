"""How cleanly meshes are built, as a metric over many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.functional.integrity import Integrity, integrity
from prefalign_mesh3d.metrics.functional.topology_score import DIALECT
from prefalign_mesh3d.metrics.mean import MeanOverMeshes

_CROSSING = ("self_intersections", "self_intersecting_ratio")


class MeshIntegrity(MeanOverMeshes):
    """Closed meshes, open and crowded edges, components, slivers, topology score, faces that cross.

    `compute()` gives the means of the attributes of `Integrity`, with `valid` and `meshes`; `watertight` is the share
    of watertight ones. The topology score is called `topology_score/DIALECT`, since every paper defines its own. A mesh
    without a proper face is not valid.

    Args:
        crossing: look for faces that cross.
        kwargs: of torchmetrics' `Metric`.
    """

    def __init__(self, crossing: bool = True, **kwargs: Any) -> None:
        self.crossing = crossing
        names = [item.name for item in fields(Integrity)]
        super().__init__([name for name in names if crossing or name not in _CROSSING], **kwargs)

    def update(self, meshes: Sequence[Mesh]) -> None:
        """Add N meshes, welded."""
        for mesh in meshes:
            try:
                self.add(asdict(integrity(mesh, self.crossing)))
            except MeshError:
                self.add(None)

    def shown(self, name: str) -> str:
        """The name, that of the topology score with its dialect."""
        return f"{name}/{DIALECT}" if name == "topology_score" else name


__all__ = ["MeshIntegrity"]
