"""OFF files as text, with polygons of any number of corners, colours and comments.

Read here because trimesh 5.2 reads polygons of five corners and more only where all have as many.
"""

from __future__ import annotations

import re

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshFileError, Refusal
from prefalign_mesh3d.mesh.opening import Limits
from prefalign_mesh3d.mesh.parts import Part

#: Texture, colour or normal may stand behind a vertex; other dimensions than three and the binary form are not read.
_HEADER = re.compile(rb"\A\s*(?:ST)?C?N?OFF\s*(\d+)\s+(\d+)(?:[ \t]+\d+)?[ \t]*(?=[\r\n]|\Z)")
_COMMENT = re.compile(rb"#[^\r\n]*")


def read_off(data: bytes, name: str, limits: Limits) -> list[Part]:
    """The one part of an OFF file; polygons become fans around their first corner.

    Raises:
        MeshFileError: for another header, fewer lines than it says, lines that are too short, or too many faces.
        ValueError: for what is no number.
    """
    text = _COMMENT.sub(b"", data)
    match = _HEADER.match(text)
    if match is None:
        raise _unreadable(name, "expected `OFF` and the numbers of vertices and faces, as text")
    vertices, faces = int(match[1]), int(match[2])
    _check_faces(faces, name, limits)
    lines = [line for line in text[match.end() :].splitlines() if line and not line.isspace()]
    if len(lines) < vertices + faces:
        problem = f"the header says {vertices:,} vertices and {faces:,} faces, {len(lines):,} lines follow"
        raise _unreadable(name, f"{problem}: the file is cut off")
    places = [line.split()[:3] for line in lines[:vertices]]
    if any(len(place) < 3 for place in places):
        raise _unreadable(name, "a vertex has fewer than three coordinates")
    points = np.array([number for place in places for number in place], dtype="S").astype(np.float64)
    rows = [line.split() for line in lines[vertices : vertices + faces]]
    counts = np.array([row[0] for row in rows], dtype="S").astype(np.int64)
    _check_faces(int(np.maximum(counts - 2, 0).sum()), name, limits)
    if (counts < 0).any() or any(len(row) <= count for row, count in zip(rows, counts.tolist(), strict=True)):
        raise _unreadable(name, "a face has fewer corners than it says, or less than none")
    corners = [corner for row, count in zip(rows, counts.tolist(), strict=True) for corner in row[1 : count + 1]]
    flat = np.array(corners, dtype="S").astype(np.int64)
    return [Part(points.reshape(-1, 3), fans(flat, counts), np.eye(4))]


def fans(corners: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(T, 3) triangles of polygons, each a fan around its first corner, in the polygons' order.

    Args:
        corners: (sum of counts,) vertex indices, polygon after polygon.
        counts: (P,) corners of each; polygons of fewer than three give no triangle.
    """
    triangles = np.maximum(counts - 2, 0)
    first = np.repeat(np.cumsum(counts) - counts, triangles)
    step = np.arange(len(first)) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    return np.stack([corners[first], corners[first + step + 1], corners[first + step + 2]], axis=1)


def _check_faces(count: int, name: str, limits: Limits) -> None:
    if count > limits.faces:
        raise MeshFileError(name, f"{count:,} faces, and the limit is {limits.faces:,}", Refusal.MANY_FACES)


def _unreadable(name: str, problem: str) -> MeshFileError:
    return MeshFileError(name, problem, Refusal.UNREADABLE)


__all__ = ["fans", "read_off"]
