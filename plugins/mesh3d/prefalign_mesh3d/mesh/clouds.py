"""Point clouds: what a generator is conditioned on, as files, as bytes, or drawn from a mesh."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np

from prefalign.interfaces import Media, RecordError
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.files import mesh_from_bytes
from prefalign_mesh3d.mesh.grid import Frame, frame_of
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.sampling import surface_points

#: The kind of a medium that is a cloud: a `.npy` file of (P, 6) numbers, positions in [-1, 1] beside unit normals.
POINTS = "points"

#: The kind of a medium that is a mesh file; its cloud is drawn from its surface.
MESH = "mesh"


def cloud_of(mesh: Mesh, count: int, seed: int, frame: Frame | None = None) -> np.ndarray:
    """(count, 6) float32 points of a mesh's surface with their normals, placed in the cube [-1, 1].

    Args:
        mesh: in any unit.
        count: points drawn.
        seed: of the draw.
        frame: that places it; None for its own.

    Raises:
        MeshError: for a mesh without area.
    """
    placed = Mesh((frame or frame_of(mesh)).place(mesh.vertices), mesh.faces)
    drawn = surface_points(placed, count, seed)
    return np.concatenate([drawn.points, drawn.normals], axis=1).astype(np.float32)


def cloud_bytes(cloud: np.ndarray) -> bytes:
    """A cloud as the bytes of a `.npy` file."""
    out = io.BytesIO()
    np.save(out, cloud.astype(np.float32), allow_pickle=False)
    return out.getvalue()


def load_cloud(medium: Media, count: int) -> np.ndarray:
    """(count, 6) float32 points of a medium; which ones depends on its content alone.

    Args:
        medium: of the kind `points` or `mesh`, its path absolute.
        count: points wanted. A cloud with more gives a random part of them.

    Raises:
        RecordError: for another kind, a file that cannot be read, too few points, or numbers that are no cloud.
    """
    data = medium.data if medium.data is not None else Path(medium.path or "").read_bytes()
    seed = int.from_bytes(hashlib.sha256(data).digest()[:4], "big")
    if medium.kind == MESH:
        suffix = Path(medium.path or "mesh.glb").suffix.lstrip(".")
        try:
            return cloud_of(mesh_from_bytes(data, suffix, medium.path or "the record's mesh"), count, seed)
        except MeshError as error:
            raise RecordError(str(error), field="prompt.media") from error
    if medium.kind != POINTS:
        problem = f"expected a medium of the kind 'points' or 'mesh', got {medium.kind!r}"
        raise RecordError(problem, field="prompt.media")
    try:
        cloud = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        problem = f"expected the .npy file of a cloud, (P, 6) numbers: {error}"
        raise RecordError(problem, field="prompt.media") from error
    return _checked(cloud, count, seed)


def _checked(cloud: np.ndarray, count: int, seed: int) -> np.ndarray:
    problem = None
    if not isinstance(cloud, np.ndarray) or cloud.ndim != 2 or cloud.shape[1] != 6 or cloud.dtype.kind != "f":
        problem = f"expected a cloud of shape (P, 6) in floating point, got {getattr(cloud, 'shape', cloud)}"
    elif len(cloud) < count:
        problem = f"the cloud has {len(cloud)} points, and the policy reads {count}: give more, or lower points"
    elif not np.isfinite(cloud).all():
        problem = "the cloud has a number that is not finite"
    elif np.abs(cloud[:, :3]).max() > 1.001:
        problem = f"expected positions in [-1, 1], got up to {np.abs(cloud[:, :3]).max():g}: place the cloud first"
    if problem:
        raise RecordError(problem, field="prompt.media")
    if len(cloud) > count:
        cloud = cloud[np.random.default_rng(seed).permutation(len(cloud))[:count]]
    return np.ascontiguousarray(cloud, np.float32)
