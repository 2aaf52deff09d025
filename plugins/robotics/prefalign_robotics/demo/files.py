"""Files that a demonstration keeps: whole or absent, and refused when damaged."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prefalign.data.atomic import atomic_path
from prefalign_robotics.segments.errors import SegmentError


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping; numbers that are not finite are refused, since JSON has none."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """A mapping that `write_json` wrote.

    Raises:
        SegmentError: for a file that is absent, damaged, or lacks one of `names`.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from None
    missing = [name for name in names if not isinstance(found, dict) or name not in found]
    if missing:
        raise _damaged(path, f"it says nothing of {missing[0]!r}")
    return dict(found)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write a compressed NumPy archive."""
    named: dict[str, Any] = dict(arrays)
    with atomic_path(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **named)


def read_arrays(path: Path, axes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Arrays that `write_arrays` wrote.

    Args:
        path: of the archive.
        axes: number of axes of each array that is needed, by name.

    Raises:
        SegmentError: for a file that is absent, damaged, pickled, or holds other arrays.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            found = {name: archive[name] for name in axes}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, ValueError, TypeError) as error:
        raise _damaged(path, str(error)) from None
    for name, count in axes.items():
        if found[name].ndim != count or not np.isfinite(found[name]).all():
            raise _damaged(path, f"{name} of shape {found[name].shape} is not what was written")
    return found


def _damaged(path: Path, problem: str) -> SegmentError:
    return SegmentError(f"{path}: absent or damaged ({problem}); delete it, and the demonstration makes it again")
