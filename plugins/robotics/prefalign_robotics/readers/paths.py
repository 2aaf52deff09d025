"""Paths that stay inside a data set's folder, and the JSON files that describe a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prefalign_robotics.segments.errors import SegmentError


def inside(root: Path, path: Path) -> Path:
    """`path`, after a check that it leads to something inside `root`, links followed.

    Raises:
        SegmentError: if it leaves the folder, or nothing is there.
    """
    target, home = path.resolve(), root.resolve()
    if not target.is_relative_to(home):
        problem = f"leads out of the data set's folder, to {target}"
        raise SegmentError(f"{path}: {problem}; copy the data set with its files in place of links to them")
    if not target.exists():
        raise SegmentError(f"{path}: no such file")
    return target


def read_json(root: Path, path: Path) -> dict[str, Any]:
    """The object in a JSON file inside `root`.

    Raises:
        SegmentError: for a file that is absent, outside, damaged, or holds no object.
    """
    target = inside(root, path)
    try:
        found = json.loads(target.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SegmentError(f"{path}: damaged ({error})") from None
    if not isinstance(found, dict):
        raise SegmentError(f"{path}: expected a JSON object, got {type(found).__name__}")
    return found


def whole(found: dict[str, Any], key: str, path: Path) -> int:
    """The whole number under `key` of a JSON file.

    Raises:
        SegmentError: if there is none.
    """
    number = found.get(key)
    if type(number) is not int or number < 0:
        raise SegmentError(f"{path}: expected a whole number under {key!r}, got {number!r}")
    return number
