"""How far a mesh is from its reference: every distance between two surfaces, from one draw of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.sampling import surface_points
from prefalign_mesh3d.metrics.functional.distances import (
    ChamferVariant,
    chamfer,
    f_score,
    hausdorff,
    nearest,
    normal_consistency,
)

#: Points drawn from either surface, as BPT's script draws them.
SAMPLES = 1024
#: Percentiles of directed distances that stand beside Hausdorff's maximum.
PERCENTILES = (90, 95)
#: Distances of F-scores, in units of the placed shapes.
TAUS = (0.01, 0.02, 0.05)


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """Points of a surface with their normals.

    Attributes:
        points: (n, 3) positions.
        normals: (n, 3) unit normals.
    """

    points: np.ndarray
    normals: np.ndarray


def cloud_from(mesh: Mesh, samples: int, seed: int) -> Cloud:
    """Points of a mesh's surface.

    Raises:
        MeshError: for a mesh without area.
    """
    drawn = surface_points(mesh, samples, seed)
    return Cloud(drawn.points, drawn.normals)


def fidelity_names(taus: Sequence[float] = TAUS) -> tuple[str, ...]:
    """Names of the figures of `fidelity`, in order."""
    return (
        *(f"chamfer_{variant}" for variant in get_args(ChamferVariant)),
        "hausdorff",
        *(f"hausdorff_{percentile}" for percentile in PERCENTILES),
        *(f"f_score_{tau:g}" for tau in taus),
        "normal_consistency",
    )


def fidelity(generated: Cloud, reference: Cloud, taus: Sequence[float] = TAUS) -> dict[str, float]:
    """The figures of `fidelity_names`, of points that are placed already.

    Raises:
        MeshError: for sets that cannot be compared.
    """
    found = nearest(generated.points, reference.points)
    values = (
        *(chamfer(found, variant) for variant in get_args(ChamferVariant)),
        hausdorff(found),
        *(hausdorff(found, percentile) for percentile in PERCENTILES),
        *(f_score(found, tau) for tau in taus),
        normal_consistency(found, generated.normals, reference.normals),
    )
    return dict(zip(fidelity_names(taus), values, strict=True))


__all__ = ["PERCENTILES", "SAMPLES", "TAUS", "Cloud", "cloud_from", "fidelity", "fidelity_names"]
