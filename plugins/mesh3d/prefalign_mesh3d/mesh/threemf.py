"""3MF files: a zip archive with one XML model, read as a stream, so that neither can swell beyond the limits.

Written from the 3MF core specification 1.3: 3.3 build items and transforms, 4 objects, meshes and components. Colours,
materials and everything else are passed over.
"""

from __future__ import annotations

import io
import zipfile
from array import array
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshFileError, Refusal
from prefalign_mesh3d.mesh.opening import Limits
from prefalign_mesh3d.mesh.parts import Part

#: Objects of objects, and parts that are placed, at most.
MOST_DEPTH, MOST_PARTS = 64, 100_000

_CHUNK = 1 << 20


def read_3mf(data: bytes, name: str, limits: Limits) -> list[Part]:
    """The parts that the file places.

    Raises:
        MeshFileError: for another archive, one over the limits, objects that contain themselves, or a second model.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        models = [entry for entry in archive.infolist() if entry.filename.lower().strip("/") == "3d/3dmodel.model"]
        if not models:
            raise _unreadable(name, "expected an archive with 3D/3dmodel.model")
        if models[0].file_size > limits.unpacked_bytes:
            problem = f"unpacks to {models[0].file_size:,} bytes, and the limit is {limits.unpacked_bytes:,}"
            raise MeshFileError(name, problem, Refusal.LARGE)
        model = _Model(name, limits.faces)
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler, parser.StartDoctypeDeclHandler = model.start, model.doctype
        # Reading stops at the size that the archive names, whatever the compressed bytes hold.
        with archive.open(models[0]) as stream:
            while chunk := stream.read(_CHUNK):
                parser.Parse(chunk, False)
        parser.Parse(b"", True)
    return model.parts()


@dataclass(slots=True, eq=False)
class _Object:
    vertices: array[float] = field(default_factory=lambda: array("d"))
    faces: array[int] = field(default_factory=lambda: array("q"))
    components: list[tuple[str, np.ndarray]] = field(default_factory=list)


class _Model:
    """What the parser has met so far."""

    def __init__(self, name: str, most_faces: int) -> None:
        self._name, self._most_faces = name, most_faces
        self._objects: dict[str, _Object] = {}
        self._open = _Object()
        self._items: list[tuple[str, np.ndarray]] = []

    def doctype(self, *_: Any) -> None:
        """Entities could swell a short text, and no 3MF file declares any."""
        raise _unreadable(self._name, "the model declares a document type, which 3MF does not allow")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        kind = tag.rpartition(" ")[2]
        if kind == "vertex":
            self._open.vertices.extend((float(attributes["x"]), float(attributes["y"]), float(attributes["z"])))
        elif kind == "triangle":
            self._open.faces.extend((int(attributes["v1"]), int(attributes["v2"]), int(attributes["v3"])))
            self._check_faces(len(self._open.faces) // 3)
        elif kind == "object":
            self._open = self._objects[attributes["id"]] = _Object()
        elif kind in ("component", "item"):
            if any(key.rpartition(" ")[2] == "path" for key in attributes):
                raise _unreadable(self._name, "refers to a second model file: export it as one model")
            place = attributes["objectid"], _matrix(attributes.get("transform"))
            (self._items if kind == "item" else self._open.components).append(place)

    def parts(self) -> list[Part]:
        """The objects that the build places, components of components included, in the order of the file."""
        parts, faces, met = [], 0, 0
        waiting = [(*item, 1) for item in reversed(self._items)]
        while waiting:
            if (met := met + 1) + len(waiting) > MOST_PARTS:
                raise MeshFileError(self._name, f"places more than {MOST_PARTS:,} parts", Refusal.LARGE)
            key, matrix, depth = waiting.pop()
            if depth > MOST_DEPTH:
                problem = f"an object contains itself, or {MOST_DEPTH} others one in another"
                raise _unreadable(self._name, problem)
            if (one := self._objects.get(key)) is None:
                raise _unreadable(self._name, f"places the object {key!r}, which is not there")
            self._check_faces(faces := faces + len(one.faces) // 3)
            if one.faces:
                vertices = np.array(one.vertices, np.float64).reshape(-1, 3)
                parts.append(Part(vertices, np.array(one.faces, np.int64).reshape(-1, 3), matrix))
            waiting += [(child, matrix @ place, depth + 1) for child, place in reversed(one.components)]
        return parts

    def _check_faces(self, count: int) -> None:
        if count > self._most_faces:
            problem = f"more than {self._most_faces:,} faces, which is the limit"
            raise MeshFileError(self._name, problem, Refusal.MANY_FACES)


def _matrix(text: str | None) -> np.ndarray:
    """(4, 4) for columns; the file lists four rows of three, for rows (x, y, z, 1) that stand before them (3.3)."""
    matrix = np.eye(4)
    if text is not None:
        matrix[:3] = np.array([float(number) for number in text.split()]).reshape(4, 3).T
    return matrix


def _unreadable(name: str, problem: str) -> MeshFileError:
    return MeshFileError(name, problem, Refusal.UNREADABLE)


__all__ = ["MOST_DEPTH", "MOST_PARTS", "read_3mf"]
