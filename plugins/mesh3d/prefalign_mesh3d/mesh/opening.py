"""The bytes of files that may be anything: folders, pipes, links that lead away, far too much."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from prefalign_mesh3d.mesh.errors import MeshFileError, Refusal


@dataclass(frozen=True, slots=True)
class Limits:
    """What is read at most.

    Attributes:
        file_bytes: size of a file, with the files that it is continued in.
        unpacked_bytes: what compressed or repeated parts of it may become in memory.
        faces: triangles of a mesh, every part counted as often as it is placed.
        coordinate: distance from the origin along an axis. From 1e15 on, neighbouring numbers of double precision
            lie more than a tenth of a unit apart.
    """

    file_bytes: int = 512 * 2**20
    unpacked_bytes: int = 2 * 2**30
    faces: int = 5_000_000
    coordinate: float = 1e15


def read_file(path: Path, most: int, within: Path | None = None) -> bytes:
    """The bytes of a regular file; never waits for a pipe.

    Args:
        path: the file.
        most: bytes that it may have.
        within: the folder that it must lie in once links and `..` are followed.

    Raises:
        MeshFileError: for a path that leads to no regular file or out of the folder, and for a file that is too large.
    """
    name = str(path)
    try:
        if within is not None and not (path := path.resolve()).is_relative_to(within.resolve()):
            raise MeshFileError(name, f"leads to {path}, outside {within}", Refusal.OUTSIDE)
        # Opening a pipe without O_NONBLOCK waits until somebody writes to it.
        opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, RuntimeError) as error:
        # Circles of links are a RuntimeError to `resolve` before Python 3.13.
        problem = getattr(error, "strerror", None) or str(error)
        raise MeshFileError(name, f"cannot be opened: {problem}", Refusal.NO_FILE) from error
    try:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode):
            raise MeshFileError(name, "expected a file, not a folder, a pipe or a device", Refusal.NO_FILE)
        if status.st_size > most:
            raise MeshFileError(name, f"{status.st_size:,} bytes, and the limit is {most:,}", Refusal.LARGE)
        with os.fdopen(opened, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(opened)


__all__ = ["Limits", "read_file"]
