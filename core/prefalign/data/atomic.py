"""Files that are either there whole or not there at all, whenever the process dies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `target`, whose file takes the target's name when the block ends well.

    Whatever stood under the name stays until then, and stays for good if the block raises.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        yield partial
        _flush(partial)
        os.replace(partial, target)
        _flush(target.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_new_path(folder: Path, name: Callable[[], str]) -> Iterator[Path]:
    """Yield a temporary path in `folder`, whose file takes a name that no file has yet when the block ends well.

    Args:
        folder: where.
        name: asked for a free name, again and again while others take it first.
    """
    partial = folder / f".new.{os.getpid()}.partial"
    try:
        yield partial
        _flush(partial)
        while True:
            with suppress(FileExistsError):
                os.link(partial, folder / name())
                break
        _flush(folder)
    finally:
        partial.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Have the operating system write a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
