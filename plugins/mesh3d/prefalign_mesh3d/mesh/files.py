"""Mesh files: read with limits, written whole. Materials and pictures that a file names are never looked for."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from prefalign.data.atomic import atomic_path
from prefalign.interfaces import unknown_name
from prefalign_mesh3d.mesh.declared import declared_faces
from prefalign_mesh3d.mesh.errors import MeshError, MeshFileError, Refusal
from prefalign_mesh3d.mesh.gltf import check_gltf
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.obj import with_absolute_corners
from prefalign_mesh3d.mesh.off import read_off
from prefalign_mesh3d.mesh.opening import Limits, read_file
from prefalign_mesh3d.mesh.parts import Part, joined
from prefalign_mesh3d.mesh.threemf import read_3mf

#: Formats by suffix: those that are written, and those that are read.
WRITABLE = ("glb", "obj", "off", "ply", "stl")
READABLE = (*WRITABLE, "3mf", "gltf")


def read_mesh(path: Path, limits: Limits | None = None, within: Path | None = None) -> Mesh:
    """The mesh of a file: all its parts in one and in their places, polygons triangulated, nothing welded.

    A glTF file's buffers are read from its own folder and from below; nothing else that a file names is opened.

    Args:
        path: the file; its suffix says the format.
        limits: what is read at most.
        within: the folder that the file must lie in once links and `..` are followed.

    Raises:
        MeshFileError: for what is no regular file, a format that is not known, a file over the limits, or one that
            cannot be read as what its suffix says.
    """
    limits = limits or Limits()
    kind = _known(path.suffix.lstrip("."), str(path), READABLE)
    data = read_file(path, limits.file_bytes, within)
    return _mesh(data, kind, str(path), limits, path.parent)


def mesh_from_bytes(
    data: bytes, file_type: str, name: str, limits: Limits | None = None, folder: Path | None = None
) -> Mesh:
    """The same for a file's bytes.

    Args:
        data: the bytes.
        file_type: suffix without the dot.
        name: what errors call it.
        limits: what is read at most.
        folder: where a glTF file's buffers may lie; None where the bytes must hold all there is.
    """
    limits = limits or Limits()
    if len(data) > limits.file_bytes:
        raise MeshFileError(name, f"{len(data):,} bytes, and the limit is {limits.file_bytes:,}", Refusal.LARGE)
    return _mesh(data, _known(file_type, name, READABLE), name, limits, folder)


def write_mesh(mesh: Mesh, path: Path) -> None:
    """Write a mesh in the format of the suffix, under its name only when it is whole.

    Binary formats hold single precision.

    Raises:
        MeshFileError: for a format that is not known, a mesh without faces, or coordinates beyond single precision.
    """
    import trimesh

    kind = _known(path.suffix.lstrip("."), str(path), WRITABLE)
    if not len(mesh.faces):
        raise MeshFileError(str(path), "a mesh without faces cannot be written", Refusal.NO_FACES)
    if np.abs(mesh.vertices).max() > np.finfo(np.float32).max:
        raise MeshFileError(str(path), "a coordinate is beyond single precision: scale the mesh", Refusal.FAR)
    made: Any = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    data = made.export(file_type=kind)
    with atomic_path(path) as partial:
        partial.write_bytes(data.encode() if isinstance(data, str) else data)


def _known(suffix: str, name: str, formats: tuple[str, ...]) -> str:
    if (kind := suffix.lower()) not in formats:
        raise MeshFileError(name, str(unknown_name("mesh format", kind, formats)), Refusal.FORMAT)
    return kind


def _mesh(data: bytes, kind: str, name: str, limits: Limits, folder: Path | None) -> Mesh:
    if not data:
        raise MeshFileError(name, "the file is empty", Refusal.EMPTY)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            vertices, faces = joined(_parts(data, kind, name, limits, folder))
    except MeshFileError:
        raise
    except Exception as error:
        # Loaders raise whatever the bytes make them trip over.
        problem = f"cannot be read as {kind}: {error or type(error).__name__}"
        raise MeshFileError(name, problem, Refusal.UNREADABLE) from error
    if not len(faces):
        raise MeshFileError(name, "has no faces", Refusal.NO_FACES)
    if not np.isfinite(vertices).all():
        raise MeshFileError(name, "has a coordinate that is not finite", Refusal.NOT_FINITE)
    if (far := np.abs(vertices).max()) > limits.coordinate:
        problem = f"has a coordinate of {far:g}, and the limit is {limits.coordinate:g}"
        raise MeshFileError(name, problem, Refusal.FAR)
    try:
        return Mesh(vertices, faces)
    except MeshError as error:
        raise MeshFileError(name, str(error), Refusal.UNREADABLE) from error


def _parts(data: bytes, kind: str, name: str, limits: Limits, folder: Path | None) -> list[Part]:
    import trimesh

    if kind == "3mf":
        return read_3mf(data, name, limits)
    if kind == "off":
        return read_off(data, name, limits)
    if kind == "obj":
        data = with_absolute_corners(data, name)
    buffers: dict[str, bytes] = {}
    announced = 0
    if kind in ("glb", "gltf"):
        buffers = check_gltf(data, kind, name, folder, limits)
    elif not (announced := declared_faces(data, kind, name)):
        return []
    elif announced > limits.faces:
        raise _too_many(name, announced, limits)
    # The resolver is all that the loader sees of the world: the buffers that were read above.
    scene: Any = trimesh.load_scene(
        io.BytesIO(data), file_type=kind, resolver=buffers, process=False, skip_materials=True
    )
    parts = []
    for node in scene.graph.nodes_geometry:
        matrix, key = scene.graph[node]
        if isinstance(found := scene.geometry[key], trimesh.Trimesh):
            parts.append(Part(found.vertices, found.faces, np.asarray(matrix)))
    if (count := sum(len(part.faces) for part in parts)) > limits.faces:
        raise _too_many(name, count, limits)
    if count < announced:
        problem = f"says that it has {announced:,} faces, and {count:,} are found: it is cut off or malformed"
        raise MeshFileError(name, problem, Refusal.UNREADABLE)
    return parts


def _too_many(name: str, count: int, limits: Limits) -> MeshFileError:
    return MeshFileError(name, f"{count:,} faces, and the limit is {limits.faces:,}", Refusal.MANY_FACES)


__all__ = ["READABLE", "WRITABLE", "Limits", "mesh_from_bytes", "read_mesh", "write_mesh"]
