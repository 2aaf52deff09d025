"""The topology score of a mesh, after Mesh-RFT (arXiv 2505.16761): how much it looks like clean quads.

The paper gives the four terms and their weights, TS = Σ w_i s_i(Q) with 0.4 quad ratio, 0.2 angle quality, 0.3 aspect
ratio and 0.1 adjacent consistency, over the mesh Q after triangles are merged into quads. It gives neither the s_i nor
the way of merging. What they are here is a dialect of its own, named in `DIALECT`: scores of other programs compare
with it by rank at best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.functional.quads import ANGLE_WEIGHT, ASPECT_WEIGHT, Quads, quads

#: Name of these definitions, printed with the scores; a change of any of them changes it.
DIALECT = "prefalign-1"
RATIO_WEIGHT, CONSISTENCY_WEIGHT = 0.4, 0.1
#: Opposite sides of neighbouring quads may turn by less than this many degrees.
CONSISTENT_DEGREES = 30.0


@dataclass(frozen=True, slots=True)
class TopologyScore:
    """The four terms, each in [0, 1].

    Attributes:
        quad_ratio: share of triangles that are half of a quad.
        angle: mean over quads of 1 - max |corner - 90°| / 90°.
        aspect: mean over quads of the shortest by the longest side.
        consistency: of the edges between two quads, the share whose opposite edges in the two quads differ in direction
            by less than 30°.

    Terms over nothing (no quads, no edges between quads) are 0.
    """

    quad_ratio: float
    angle: float
    aspect: float
    consistency: float

    @property
    def score(self) -> float:
        """The weighted sum, in [0, 100]."""
        terms = (self.quad_ratio, self.angle, self.aspect, self.consistency)
        weights = (RATIO_WEIGHT, ANGLE_WEIGHT, ASPECT_WEIGHT, CONSISTENCY_WEIGHT)
        return sum(100 * weight * term for weight, term in zip(weights, terms, strict=True))


def topology_score(mesh: Mesh, merged: Quads | None = None) -> TopologyScore:
    """The four terms of a mesh.

    Args:
        mesh: any mesh with faces, in any unit.
        merged: its quads, where they are known.

    Raises:
        MeshError: for a mesh without faces.
    """
    if not len(mesh.faces):
        raise MeshError("the mesh has no faces, so it has no topology score")
    merged = quads(mesh) if merged is None else merged
    if not len(merged.pairs):
        return TopologyScore(0.0, 0.0, 0.0, 0.0)
    ratio = 2 * len(merged.pairs) / len(mesh.faces)
    return TopologyScore(ratio, float(merged.angle.mean()), float(merged.aspect.mean()), _consistency(mesh, merged))


def _consistency(mesh: Mesh, merged: Quads) -> float:
    ends = np.stack([merged.corners, np.roll(merged.corners, -1, axis=1)], axis=2).reshape(-1, 2)
    # Side i of a quad runs from corner i to the next; opposite it, in the same direction, corner i + 3 to corner i + 2.
    far = np.stack([np.roll(merged.corners, -3, axis=1), np.roll(merged.corners, -2, axis=1)], axis=2).reshape(-1, 2)
    turned = ends[:, 0] > ends[:, 1]
    ends[turned], far[turned] = ends[turned, ::-1], far[turned, ::-1]
    keys = ends[:, 0] * len(mesh.vertices) + ends[:, 1]
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    # Quads only merge over edges of two faces, yet their other sides may be shared by three; each neighbour counts.
    met = np.flatnonzero(keys[1:] == keys[:-1])
    if not len(met):
        return 0.0
    vectors = [_directions(mesh, far[order[met + step]]) for step in (0, 1)]
    return float(np.mean((vectors[0] * vectors[1]).sum(1) > np.cos(np.radians(CONSISTENT_DEGREES))))


def _directions(mesh: Mesh, ends: np.ndarray) -> np.ndarray:
    vectors = mesh.vertices[ends[:, 1]] / 2 - mesh.vertices[ends[:, 0]] / 2
    vectors = vectors / np.abs(vectors).max(1, keepdims=True)
    return vectors / np.sqrt((vectors**2).sum(1, keepdims=True))


__all__ = ["DIALECT", "TopologyScore", "topology_score"]
