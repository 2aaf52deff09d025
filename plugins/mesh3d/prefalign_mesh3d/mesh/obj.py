"""OBJ files whose faces count their corners from the last vertex before them, made to count from the first of the file.

trimesh 5.2 takes -1 for the last vertex of the whole file, which is another mesh where vertices follow.
"""

from __future__ import annotations

import re

from prefalign_mesh3d.mesh.errors import MeshFileError, Refusal

# A corner that is relative (negative), or no vertex at all (0).
_ODD_CORNER = re.compile(rb"^f(?:[ \t]+|[ \t][^\n]*[ \t])(?:-\d+|0+(?=[ \t/\r\n]|\Z))", re.M)
_PLACES = {b"v": 0, b"vt": 1, b"vn": 2}


def with_absolute_corners(data: bytes, name: str) -> bytes:
    """The file with every relative number replaced; files without any are not touched.

    Raises:
        MeshFileError: for a corner 0, or one that reaches back before the first vertex.
        ValueError: for a corner that is no number.
    """
    if not _ODD_CORNER.search(data):
        return data
    met = [0, 0, 0]
    lines = data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines()
    for index, line in enumerate(lines):
        words = line.split()
        if not words:
            continue
        if (place := _PLACES.get(words[0])) is not None:
            met[place] += 1
        elif words[0] == b"f":
            lines[index] = b"f " + b" ".join(_absolute(corner, met, name) for corner in words[1:])
    return b"\n".join(lines)


def _absolute(corner: bytes, met: list[int], name: str) -> bytes:
    """One corner such as `-1/-1/-1`: numbers of its vertex, texture coordinate and normal, of which `met` are known."""
    numbers = [int(number) if number else None for number in corner.split(b"/")]
    settled = [
        count + 1 + number if number is not None and number < 0 else number
        for number, count in zip(numbers, met, strict=False)
    ]
    if any(number is not None and number < 1 for number in settled):
        said = corner.decode("ascii", "replace")
        problem = f"the corner {said} is no vertex: numbers begin with 1, or with -1 for the last"
        raise MeshFileError(name, problem, Refusal.UNREADABLE)
    return b"/".join(b"" if number is None else b"%d" % number for number in settled)


__all__ = ["with_absolute_corners"]
