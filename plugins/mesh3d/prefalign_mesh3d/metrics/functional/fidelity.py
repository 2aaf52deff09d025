"""How far a mesh is from its reference: every distance between two surfaces, from one draw of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.normals import face_normals
from prefalign_mesh3d.mesh.sampling import surface_points
from prefalign_mesh3d.metrics.functional.distances import (
    ChamferVariant,
    Nearest,
    chamfer,
    f_score,
    hausdorff,
    nearest,
    normal_consistency,
)
from prefalign_mesh3d.metrics.functional.surface import surface_distances

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
    """The figures of `fidelity_names`, from point to nearest point.

    Raises:
        MeshError: for sets that cannot be compared.
    """
    found = nearest(generated.points, reference.points)
    partners = reference.normals[found.forward_index], generated.normals[found.backward_index]
    return _figures(found, normal_consistency(generated.normals, partners[0], reference.normals, partners[1]), taus)


def surface_fidelity(
    generated: Cloud, mesh: Mesh, reference: Cloud, whole: Mesh, taus: Sequence[float] = TAUS
) -> dict[str, float]:
    """The figures of `fidelity_names`, from point to nearest surface.

    Args:
        generated: points of `mesh`.
        mesh: what was generated.
        reference: points of `whole`.
        whole: the reference.
        taus: distances of the F-scores.

    Raises:
        MeshError: without open3d.
    """
    forward, faces_of_whole = surface_distances(generated.points, whole)
    backward, faces_of_mesh = surface_distances(reference.points, mesh)
    partners = face_normals(whole)[0][faces_of_whole], face_normals(mesh)[0][faces_of_mesh]
    consistency = normal_consistency(generated.normals, partners[0], reference.normals, partners[1])
    return _figures(Nearest(forward, backward, faces_of_whole, faces_of_mesh), consistency, taus)


def _figures(found: Nearest, consistency: float, taus: Sequence[float]) -> dict[str, float]:
    values = (
        *(chamfer(found, variant) for variant in get_args(ChamferVariant)),
        hausdorff(found),
        *(hausdorff(found, percentile) for percentile in PERCENTILES),
        *(f_score(found, tau) for tau in taus),
        consistency,
    )
    return dict(zip(fidelity_names(taus), values, strict=True))


__all__ = ["PERCENTILES", "SAMPLES", "TAUS", "Cloud", "cloud_from", "fidelity", "fidelity_names", "surface_fidelity"]
