"""Mesh files: read with limits, written whole. What a file says of other files is never followed."""

from __future__ import annotations

import io
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prefalign.interfaces import unknown_name
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh

#: Formats by suffix.
FORMATS = ("glb", "obj", "off", "ply", "stl")


@dataclass(frozen=True, slots=True)
class Limits:
    """What is read at most.

    Attributes:
        file_bytes: size of a file.
        faces: triangles of a mesh.
    """

    file_bytes: int = 512 * 2**20
    faces: int = 5_000_000


def read_mesh(path: Path, limits: Limits | None = None) -> Mesh:
    """The mesh of a file: all its parts in one, quads triangulated, nothing welded.

    Raises:
        MeshError: for what is no regular file, a format that is not known, a file over the limits, or one that cannot
            be read as what its suffix says.
    """
    limits = limits or Limits()
    try:
        status = path.stat()
    except OSError as error:
        raise MeshError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise MeshError(f"{path}: expected a file")
    if status.st_size > limits.file_bytes:
        raise MeshError(f"{path}: {status.st_size} bytes, and the limit is {limits.file_bytes}")
    return mesh_from_bytes(path.read_bytes(), path.suffix.lstrip("."), str(path), limits)


def mesh_from_bytes(data: bytes, file_type: str, name: str, limits: Limits | None = None) -> Mesh:
    """The same for a file's bytes.

    Args:
        data: the bytes.
        file_type: suffix without the dot.
        name: what errors call it.
    """
    import trimesh

    limits = limits or Limits()
    kind = file_type.lower()
    if kind not in FORMATS:
        raise MeshError(f"{name}: {unknown_name('mesh format', kind, FORMATS)}")
    if not data:
        raise MeshError(f"{name}: the file is empty")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            loaded: Any = trimesh.load_scene(io.BytesIO(data), file_type=kind, process=False, skip_materials=True)
            merged = loaded.to_mesh()
    except Exception as error:
        # Loaders raise whatever the bytes make them trip over.
        raise MeshError(f"{name}: cannot be read as {kind}: {error or type(error).__name__}") from error
    if not len(merged.faces):
        raise MeshError(f"{name}: has no faces")
    if len(merged.faces) > limits.faces:
        raise MeshError(f"{name}: {len(merged.faces)} faces, and the limit is {limits.faces}")
    try:
        return Mesh(np.asarray(merged.vertices), np.asarray(merged.faces))
    except MeshError as error:
        raise MeshError(f"{name}: {error}") from error


def write_mesh(mesh: Mesh, path: Path) -> None:
    """Write a mesh in the format of the suffix, under its name only when it is whole.

    Raises:
        MeshError: for a format that is not known, or a mesh without faces.
    """
    import trimesh

    kind = path.suffix.lstrip(".").lower()
    if kind not in FORMATS:
        raise MeshError(f"{path}: {unknown_name('mesh format', kind, FORMATS)}")
    if not len(mesh.faces):
        raise MeshError(f"{path}: a mesh without faces cannot be written")
    made: Any = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    data = made.export(file_type=kind)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
