"""What can be said of a mesh without a reference: closed or not, cleanly built or not. None of it has a unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.functional.edges import (
    boundary_edge_ratio,
    edges_of,
    is_watertight,
    non_manifold_edge_ratio,
    winding_ratio,
)
from prefalign_mesh3d.metrics.functional.intersections import self_intersecting_ratio, self_intersections
from prefalign_mesh3d.metrics.functional.quads import quads
from prefalign_mesh3d.metrics.functional.topology import (
    components,
    euler_number,
    non_manifold_vertex_ratio,
    valence_regularity,
)
from prefalign_mesh3d.metrics.functional.topology_score import topology_score
from prefalign_mesh3d.metrics.functional.triangles import degenerate_ratio, sliver_ratio, smallest_angles


@dataclass(frozen=True, slots=True)
class Integrity:
    """Figures of one mesh.

    Attributes:
        faces: F, all of them.
        watertight: 1 where every edge has two faces, else 0.
        boundary_edge_ratio, non_manifold_edge_ratio: shares of edges, in [0, 1].
        non_manifold_vertex_ratio: share of vertices whose faces are no single fan, in [0, 1].
        winding_ratio: share of the edges between two faces at which these agree what is outside.
        components: parts that no edge connects.
        euler_number: V - E + F.
        degenerate_ratio, sliver_ratio: shares of faces, in [0, 1].
        smallest_angle_degrees: mean over faces of their smallest angle.
        valence_regularity: share of inner vertices with 6 edges, and
        quad_valence_regularity: with 4 after triangles are merged to quads; NaN without inner vertices.
        quad_ratio, quad_angle, quad_aspect, quad_consistency: the terms of the topology score, in [0, 1].
        topology_score: in [0, 100].
        self_intersections: pairs of faces that cross, and
        self_intersecting_ratio: share of faces that do; NaN where they were not looked for, or lie in one heap.
    """

    faces: int
    watertight: float
    boundary_edge_ratio: float
    non_manifold_edge_ratio: float
    non_manifold_vertex_ratio: float
    winding_ratio: float
    components: int
    euler_number: int
    degenerate_ratio: float
    sliver_ratio: float
    smallest_angle_degrees: float
    valence_regularity: float
    quad_valence_regularity: float
    quad_ratio: float
    quad_angle: float
    quad_aspect: float
    quad_consistency: float
    topology_score: float
    self_intersections: float
    self_intersecting_ratio: float


def integrity(mesh: Mesh, crossing: bool = True) -> Integrity:
    """All figures of a welded mesh.

    Args:
        mesh: in any unit. Vertices that are to be one are one index: equal positions are not enough.
        crossing: look for faces that cross, the dearest figure on large meshes.

    Raises:
        MeshError: for a mesh without faces that have three different corners.
    """
    edges, merged = edges_of(mesh), quads(mesh)
    score = topology_score(mesh, merged)
    pairs = _crossing(mesh) if crossing else None
    return Integrity(
        faces=len(mesh.faces),
        watertight=float(is_watertight(edges)),
        boundary_edge_ratio=boundary_edge_ratio(edges),
        non_manifold_edge_ratio=non_manifold_edge_ratio(edges),
        non_manifold_vertex_ratio=non_manifold_vertex_ratio(mesh),
        winding_ratio=winding_ratio(edges),
        components=components(edges),
        euler_number=euler_number(mesh, edges),
        degenerate_ratio=degenerate_ratio(mesh),
        sliver_ratio=sliver_ratio(mesh),
        smallest_angle_degrees=float(smallest_angles(mesh).mean()),
        valence_regularity=valence_regularity(edges),
        quad_valence_regularity=valence_regularity(edges, merged),
        quad_ratio=score.quad_ratio,
        quad_angle=score.angle,
        quad_aspect=score.aspect,
        quad_consistency=score.consistency,
        topology_score=score.score,
        self_intersections=float("nan") if pairs is None else len(pairs),
        self_intersecting_ratio=float("nan") if pairs is None else self_intersecting_ratio(mesh, pairs),
    )


def _crossing(mesh: Mesh) -> np.ndarray | None:
    try:
        return self_intersections(mesh)
    except MeshError:  # too many boxes overlap to be looked at
        return None


__all__ = ["Integrity", "integrity"]
