"""How a sampled mesh is judged: against the shape that its cloud was drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import dequantise
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.sampling import surface_points
from prefalign_mesh3d.metrics.functional.distances import chamfer, nearest
from prefalign_mesh3d.metrics.functional.edges import boundary_edge_ratio, edges_of, is_watertight
from prefalign_mesh3d.tokenizers.base import MeshTokenizer

#: Points drawn from either surface.
SAMPLES = 1024


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is measured of one sampled mesh.

    Attributes:
        chamfer: mean of the two directed mean distances, in units of the cube [-1, 1]; 1 for an empty mesh.
        boundary: share of edges with one face, in [0, 1]; 1 for an empty mesh.
        closed: 1 where the sequence came to its end and every edge has two faces, else 0.
        ended: 1 where it came to its end, else 0.
        length: tokens, the end not counted.
    """

    chamfer: float
    boundary: float
    closed: float
    ended: float
    length: float


def judge(tokens: Sequence[int], shape: Mesh, tokenizer: MeshTokenizer, seed: int) -> Judgement:
    """Judge a sample.

    Args:
        tokens: with the end id last where it came to its end.
        shape: what it should be, placed in the cube.
        tokenizer: that wrote it.
        seed: of the points on both surfaces.
    """
    ended = len(tokens) > 0 and tokens[-1] == tokenizer.eos_id
    length = float(len(tokens) - ended)
    mesh = tokenizer.decode(np.asarray(tokens, np.int64)).mesh
    try:
        found = nearest(
            surface_points(dequantise(mesh), SAMPLES, seed).points, surface_points(shape, SAMPLES, seed + 1).points
        )
        edges = edges_of(mesh)
    except MeshError:
        # Nothing to draw points from: as bad as can be, rather than left out.
        return Judgement(1.0, 1.0, 0.0, float(ended), length)
    closed = float(ended and is_watertight(edges))
    return Judgement(chamfer(found, "l1_mean"), boundary_edge_ratio(edges), closed, float(ended), length)


def means(judgements: Sequence[Judgement]) -> dict[str, float]:
    """The mean of every figure."""
    rows = [asdict(one) for one in judgements]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
