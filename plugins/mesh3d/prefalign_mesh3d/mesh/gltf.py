"""What a glTF 2.0 file announces, checked before anything is built from it, and the files that it is continued in.

Written from the specification of glTF 2.0 (Khronos Group): 3.5 scenes and nodes, 3.6 buffers and accessors, 3.7
meshes, 4.4 the binary layout.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from prefalign_mesh3d.mesh.errors import MeshFileError, Refusal
from prefalign_mesh3d.mesh.opening import Limits, read_file

#: Levels of nodes below one another; placing a node takes a step for each.
MOST_DEPTH = 256

_COMPONENT_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_TRIANGLES, _STRIP, _FAN = 4, 5, 6


def check_gltf(data: bytes, kind: str, name: str, folder: Path | None, limits: Limits) -> dict[str, bytes]:
    """The buffers outside the file by the names it gives them, if all that it announces is within the limits.

    Args:
        data: the file.
        kind: `glb` or `gltf`.
        name: what errors call it.
        folder: where the file lies; buffers are read from there and from below, from nowhere else. None where it has
            no place, so that such buffers are refused.
        limits: what is read at most.

    Raises:
        MeshFileError: for what is over the limits, circles of nodes, data that would be misread, and buffers elsewhere.
    """
    header = _header(data, kind, name)
    accessors = header.get("accessors", [])
    size = sum(_count(one) * _COMPONENT_BYTES[one["componentType"]] * _COMPONENTS[one["type"]] for one in accessors)
    if size > limits.unpacked_bytes:
        problem = f"its accessors announce {size:,} bytes, and the limit is {limits.unpacked_bytes:,}"
        raise MeshFileError(name, problem, Refusal.LARGE)
    faces = [sum(_faces(part, accessors, name) for part in mesh["primitives"]) for mesh in header.get("meshes", [])]
    total = sum(faces[mesh] for mesh in _placed_meshes(header, name))
    if total > limits.faces:
        raise MeshFileError(name, f"announces {total:,} faces, and the limit is {limits.faces:,}", Refusal.MANY_FACES)
    if not total:
        raise MeshFileError(name, "has no faces in its scene", Refusal.NO_FACES)
    return _outer_buffers(header, name, folder, limits.file_bytes - len(data))


def _header(data: bytes, kind: str, name: str) -> dict[str, Any]:
    if kind == "glb":
        if len(data) < 20 or data[:4] != b"glTF":
            raise _unreadable(name, "expected a binary glTF file, which begins with `glTF`")
        version, length, chunk, chunk_kind = struct.unpack("<II I4s", data[4:20])
        if version != 2 or chunk_kind != b"JSON":
            raise _unreadable(name, f"expected glTF 2 with a JSON chunk first, got version {version}, {chunk_kind!r}")
        if max(length, 20 + chunk) > len(data):
            problem = f"says that it has {max(length, 20 + chunk):,} bytes and has {len(data):,}: the file is cut off"
            raise _unreadable(name, problem)
        data = data[20 : 20 + chunk]
    header = json.loads(data)
    if not isinstance(header, dict):
        raise _unreadable(name, f"expected a JSON object, got {type(header).__name__}")
    version = str(header.get("asset", {}).get("version", "none"))
    if not version.startswith("2."):
        raise _unreadable(name, f"expected glTF 2.0, got version {version}")
    return header


def _count(accessor: dict[str, Any]) -> int:
    count = accessor["count"]
    if not isinstance(count, int) or count < 0:
        raise ValueError(f"an accessor counts {count!r} elements")
    return count


def _faces(part: dict[str, Any], accessors: list[dict[str, Any]], name: str) -> int:
    """Faces of one primitive; lines and points have none."""
    mode = part.get("mode", _TRIANGLES)
    if mode == _FAN:
        raise _unreadable(name, "has triangle fans (mode 6), which are not read: export as triangles")
    if mode not in (_TRIANGLES, _STRIP):
        return 0
    positions = accessors[part["attributes"]["POSITION"]]
    corners = accessors[part["indices"]] if "indices" in part else positions
    for accessor in (positions, corners):
        if "bufferView" not in accessor or "sparse" in accessor or accessor.get("normalized"):
            problem = "its geometry is compressed, sparse or normalised (such as by Draco): export it plain"
            raise _unreadable(name, problem)
    return max(_count(corners) - 2, 0) if mode == _STRIP else _count(corners) // 3


def _placed_meshes(header: dict[str, Any], name: str) -> list[int]:
    """The mesh of each node that the scene shows, in no order.

    Nodes must form trees (3.5.2): then no circle can be reached, since each node in one has its parent in it.
    """
    nodes, scenes = header.get("nodes", []), header.get("scenes", [])
    level = list(scenes[header.get("scene", 0)].get("nodes", [])) if scenes else []
    seen = [*level, *(child for node in nodes for child in node.get("children", []))]
    if len(seen) != len(set(seen)):
        raise _unreadable(name, "a node has two parents or lies in a circle; nodes must form trees")
    placed, depth = [], 0
    while level:
        if (depth := depth + 1) > MOST_DEPTH:
            raise _unreadable(name, f"nodes lie more than {MOST_DEPTH} levels below one another")
        placed += [nodes[index]["mesh"] for index in level if "mesh" in nodes[index]]
        level = [child for index in level for child in nodes[index].get("children", [])]
    return placed


def _outer_buffers(header: dict[str, Any], name: str, folder: Path | None, most: int) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for buffer in header.get("buffers", []):
        uri = buffer.get("uri")
        if uri is None or uri in found or uri.startswith("data:"):
            continue
        if "base64," in uri or "://" in uri:
            raise MeshFileError(name, f"its buffer {uri[:80]!r} is not fetched: pack all in a .glb", Refusal.OUTSIDE)
        if folder is None:
            problem = f"its buffer {uri[:80]!r} is another file, and where that lies is not known: pack all in a .glb"
            raise MeshFileError(name, problem, Refusal.OUTSIDE)
        try:
            found[uri] = read_file(folder / unquote(uri), most, within=folder)
        except MeshFileError as error:
            raise MeshFileError(name, f"its buffer {uri[:80]!r}: {error.problem}", error.reason) from error
        most -= len(found[uri])
        if len(found[uri]) < math.ceil(buffer["byteLength"]):
            raise _unreadable(name, f"its buffer {uri[:80]!r} is cut off")
    return found


def _unreadable(name: str, problem: str) -> MeshFileError:
    return MeshFileError(name, problem, Refusal.UNREADABLE)


__all__ = ["MOST_DEPTH", "check_gltf"]
