"""Point clouds: what a generator is conditioned on, as files, as bytes, or drawn from a mesh."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np

from prefalign.interfaces import Media
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.files import mesh_from_bytes
from prefalign_mesh3d.mesh.grid import Frame, frame_of
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.sampling import surface_points

#: The kind of a medium that is a cloud: a `.npy` file of (P, 6) numbers, positions in [-1, 1] beside unit normals.
POINTS = "points"

#: The kind of a medium that is a mesh file; its cloud is drawn from its surface.
MESH = "mesh"

# How far from 1 the length of a normal in float16 may be, and a position from the cube.
_ROUNDING = 0.01


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


def medium_bytes(medium: Media) -> bytes:
    """The bytes of a file, wherever they are.

    Raises:
        MeshError: for a file that cannot be read.
    """
    if medium.data is not None:
        return medium.data
    try:
        return Path(medium.path or "").read_bytes()
    except OSError as error:
        raise MeshError(f"{medium.path}: cannot be read ({error.strerror or error})") from None


def cloud_from_bytes(data: bytes) -> np.ndarray:
    """(P, 6) points of a `.npy` file, as they are there: positions in the cube [-1, 1] beside unit normals.

    Raises:
        MeshError: for anything else. Pickled arrays are not opened.
    """
    expected = "expected a .npy file of (P, 6) numbers, positions beside normals"
    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise MeshError(f"{expected}: {error}") from error
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.shape[1] != 6 or found.dtype.kind != "f":
        raise MeshError(
            f"{expected}, got {getattr(found, 'dtype', type(found))} of {getattr(found, 'shape', 'no shape')}"
        )
    if not len(found) or not np.isfinite(found).all():
        raise MeshError(f"{expected}, got {'numbers that are not finite' if len(found) else 'no point'}")
    if (most := float(np.abs(found[:, :3]).max())) > 1 + _ROUNDING:
        raise MeshError(f"expected positions in the cube [-1, 1], got {most:g}: place the cloud first")
    if (np.abs(np.linalg.norm(found[:, 3:].astype(np.float64), axis=1) - 1) > _ROUNDING).any():
        raise MeshError("expected unit normals beside the positions")
    return found


def load_cloud(medium: Media, count: int) -> np.ndarray:
    """(count, 6) float32 points of a medium; which ones depends on its content alone.

    Args:
        medium: of the kind `points` or `mesh`, its path absolute.
        count: points wanted. A cloud with more gives a random part of them.

    Raises:
        MeshError: for another kind, a file that cannot be read, too few points, or numbers that are no cloud.
    """
    if medium.kind not in (POINTS, MESH):
        raise MeshError(f"expected a medium of the kind 'points' or 'mesh', got {medium.kind!r}")
    data = medium_bytes(medium)
    seed = int.from_bytes(hashlib.sha256(data).digest()[:4], "big")
    if medium.kind == MESH:
        suffix = Path(medium.path or "mesh.glb").suffix.lstrip(".")
        return cloud_of(mesh_from_bytes(data, suffix, medium.path or "the record's mesh"), count, seed)
    cloud = cloud_from_bytes(data)
    if len(cloud) < count:
        raise MeshError(f"the cloud has {len(cloud)} points, and the policy reads {count}: give more, or lower points")
    if len(cloud) > count:
        cloud = cloud[np.random.default_rng(seed).permutation(len(cloud))[:count]]
    return np.ascontiguousarray(cloud, np.float32)
