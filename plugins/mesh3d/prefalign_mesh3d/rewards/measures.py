"""The criteria of the geometry reward: which measure each one is, and which way it is better."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.functional.distances import (
    Nearest,
    chamfer,
    f_score,
    hausdorff,
    nearest,
    normal_consistency,
)
from prefalign_mesh3d.metrics.functional.edges import (
    Edges,
    boundary_edge_ratio,
    edges_of,
    is_watertight,
    non_manifold_edge_ratio,
)
from prefalign_mesh3d.metrics.functional.fidelity import Cloud, cloud_from
from prefalign_mesh3d.metrics.functional.intersections import self_intersecting_ratio
from prefalign_mesh3d.metrics.functional.topology_score import topology_score


class Compared:
    """A mesh beside the cloud of its reference; what several criteria read is computed once, and only if one does.

    Args:
        mesh: a mesh in the frame of the cloud.
        cloud: points of the reference.
        samples: points drawn from the mesh.
        seed: of the draw.
        tau: distance of the F-score.
        ended: whether the sampling of the mesh came to its end.

    The properties raise MeshError for a mesh without area, or without a proper face.
    """

    def __init__(self, mesh: Mesh, cloud: Cloud, samples: int, seed: int, tau: float, ended: bool) -> None:
        self.mesh, self.cloud, self.samples, self.seed, self.tau, self.ended = mesh, cloud, samples, seed, tau, ended

    @cached_property
    def drawn(self) -> Cloud:
        """Points of the mesh."""
        return cloud_from(self.mesh, self.samples, self.seed)

    @cached_property
    def found(self) -> Nearest:
        """Neighbours of the mesh's points in the cloud, and the other way round."""
        return nearest(self.drawn.points, self.cloud.points)

    @cached_property
    def edges(self) -> Edges:
        """Edges of the mesh."""
        return edges_of(self.mesh)


class Measure(NamedTuple):
    """A measure: of what, and by which sign it becomes a reward, of which more is better."""

    sign: int
    value: Callable[[Compared], float]


def _normals(it: Compared) -> float:
    partners = it.cloud.normals[it.found.forward_index], it.drawn.normals[it.found.backward_index]
    return normal_consistency(it.drawn.normals, partners[0], it.cloud.normals, partners[1])


MEASURES: dict[str, Measure] = {
    "chamfer": Measure(-1, lambda it: chamfer(it.found)),
    "hausdorff": Measure(-1, lambda it: hausdorff(it.found)),
    "hausdorff_95": Measure(-1, lambda it: hausdorff(it.found, 95)),
    "f_score": Measure(1, lambda it: f_score(it.found, it.tau)),
    "normal_consistency": Measure(1, _normals),
    "ber": Measure(-1, lambda it: boundary_edge_ratio(it.edges)),
    "non_manifold": Measure(-1, lambda it: non_manifold_edge_ratio(it.edges)),
    "watertight": Measure(1, lambda it: float(is_watertight(it.edges))),
    "ts": Measure(1, lambda it: topology_score(it.mesh).score),
    "crossing": Measure(-1, lambda it: self_intersecting_ratio(it.mesh)),
    "ended": Measure(1, lambda it: float(it.ended)),
}
"""Chamfer is `l1_sum`, the topology score goes from 0 to 100, `crossing` is the share of faces that cross others."""


__all__ = ["MEASURES", "Compared", "Measure"]
