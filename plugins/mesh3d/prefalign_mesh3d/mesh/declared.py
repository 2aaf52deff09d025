"""What files of one mesh say about their size, and whether the rest of the file can hold it.

Asked before the file is parsed, so that ten million faces are refused before they fill the memory, and a file that is
cut off is not taken for a smaller mesh.
"""

from __future__ import annotations

import re

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshFileError, Refusal

#: A header is looked for in so many bytes.
HEADER_BYTES = 1 << 16

#: The header of a binary STL file, and one of its triangles.
STL_HEADER, STL_FACE = 84, 50

_OBJ_FACE = re.compile(rb"^f[ \t]", re.M)


def declared_faces(data: bytes, kind: str, name: str) -> int:
    """How many faces the file must give at least; polygons with more corners give more.

    Args:
        data: the file.
        kind: `stl`, `ply` or `obj`.
        name: what errors call it.

    Raises:
        MeshFileError: for a header that is none, and a file shorter than it says.
    """
    return {"stl": _stl, "ply": _ply, "obj": _obj}[kind](data, name)


def _stl(data: bytes, name: str) -> int:
    if len(data) >= STL_HEADER:
        count = int(np.frombuffer(data, "<u4", 1, STL_HEADER - 4)[0])
        if len(data) == STL_HEADER + STL_FACE * count:
            return count
    lower = data.lower()
    if not lower.lstrip().startswith(b"solid"):
        size = f"a header of {STL_HEADER} bytes and {STL_FACE} bytes a triangle"
        said = f" for the {count:,} triangles it names" if len(data) >= STL_HEADER else ""
        raise _unreadable(name, f"expected {size}{said}, got {len(data):,} bytes in all: the file is cut off or no STL")
    if b"endsolid" not in lower:
        raise _unreadable(name, "begins with `solid` and has no `endsolid`: the file is cut off")
    return lower.count(b"endfacet")


def _ply(data: bytes, name: str) -> int:
    head, end, _ = data[:HEADER_BYTES].partition(b"end_header")
    if not head.startswith(b"ply") or not end:
        raise _unreadable(name, "expected a header from `ply` to `end_header`")
    lines = [line.split() for line in head.splitlines() if line.startswith(b"element")]
    if not all(len(line) == 3 and line[2].isdigit() for line in lines):
        raise _unreadable(name, "expected lines `element NAME COUNT` in the header")
    counts = [(line[1], int(line[2])) for line in lines]
    if re.search(rb"^format\s+ascii", head, re.M):
        found = len(data[len(head) + len(end) :].splitlines()) - 1
        needed = sum(count for _, count in counts)
        if found < needed:
            raise _unreadable(name, f"the header says {needed:,} lines, {found:,} follow: the file is cut off")
    return sum(count for element, count in counts if element == b"face")


def _obj(data: bytes, _: str) -> int:
    return sum(1 for _ in _OBJ_FACE.finditer(data))


def _unreadable(name: str, problem: str) -> MeshFileError:
    return MeshFileError(name, problem, Refusal.UNREADABLE)


__all__ = ["declared_faces"]
