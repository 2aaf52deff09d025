"""Low-dimensional data of a LeRobotDataset, versions 2.1 and 3.0, read from its Parquet files without LeRobot.

`meta/info.json` names the features; `data/chunk-*/file-*.parquet` (3.0, many episodes a file) or
`data/chunk-*/episode_*.parquet` (2.1, one) hold one row a frame. Videos and pictures are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from prefalign_robotics.readers.arrow import DAMAGE, matrix
from prefalign_robotics.readers.paths import inside, read_json, whole
from prefalign_robotics.segments.episodes import Episode
from prefalign_robotics.segments.errors import SegmentError

STATE = "observation.state"
_ACTION = "action"
_PLACE = ("episode_index", "frame_index", "index")
_OPTIONAL = {"next.reward": "rewards", "next.done": "dones", "next.truncated": "truncations"}
_ROWS = 2**16


def read_lerobot(folder: Path | str, keys: Sequence[str] = (STATE,)) -> Iterator[Episode]:
    """The episodes of a data set in order, so that an episode's position is its `episode_index`.

    Args:
        folder: of the data set, which holds `meta` and `data`.
        keys: the features that make up an observation, side by side in this order.

    Raises:
        SegmentError: naming file and feature, for what is absent, damaged, not in order or no plain numbers, and for
            paths that leave the folder.
    """
    root = Path(folder)
    described = root / "meta" / "info.json"
    facts = read_json(root, described)
    columns = _columns(facts, tuple(keys), described)
    files = _files(root, facts, described)
    episodes = frames = 0
    for number, parts, path in _runs(files, columns):
        joined = {name: np.concatenate([part[name] for part in parts]) for name in columns}
        place = f"{path}, episode {number}"
        _check_order(joined, number, episodes, frames, place)
        yield _episode(joined, tuple(keys), place)
        episodes, frames = episodes + 1, frames + len(joined["index"])
    for key, found in (("total_episodes", episodes), ("total_frames", frames)):
        if (stated := whole(facts, key, described)) != found:
            raise SegmentError(f"{root / 'data'}: holds {found} by {key}, but {described} says {stated}")


def _columns(facts: dict[str, Any], keys: tuple[str, ...], described: Path) -> list[str]:
    version = facts.get("codebase_version")
    if version not in ("v2.1", "v3.0"):
        problem = f"expected codebase_version v2.1 or v3.0, got {version!r}"
        raise SegmentError(f"{described}: {problem}; convert the data set with LeRobot's own script")
    features = facts.get("features")
    if not isinstance(features, dict) or not all(isinstance(f, dict) for f in features.values()):
        raise SegmentError(f"{described}: expected an object of features")
    if not keys:
        raise SegmentError(f"{described}: expected at least one key of an observation")
    for key in (*keys, _ACTION):
        if key not in features:
            raise SegmentError(f"{described}: no feature {key!r}; there are {', '.join(features)}")
        kind, shape = features[key].get("dtype"), features[key].get("shape")
        if kind in ("image", "video", "string", "language") or not isinstance(shape, list) or len(shape) != 1:
            raise SegmentError(f"{described}: {key!r} is {kind} {shape}; expected numbers of one axis")
    return list(dict.fromkeys([*keys, _ACTION, *_PLACE, *(name for name in _OPTIONAL if name in features)]))


def _files(root: Path, facts: dict[str, Any], described: Path) -> list[Path]:
    template = facts.get("data_path")
    if not isinstance(template, str) or not re.match(r"data/chunk-\{", template):
        raise SegmentError(f"{described}: expected a data_path data/chunk-{{…}}/…, got {template!r}")
    found = list((root / "data").glob("chunk-*/*.parquet"))
    if not found:
        raise SegmentError(f"{root / 'data'}: there is no chunk-*/*.parquet file in it")
    # By number: names are padded, but only so far.
    found.sort(key=lambda path: [int(n) for n in re.findall(r"\d+", f"{path.parent.name}/{path.stem}")])
    return [inside(root, path) for path in found]


def _runs(files: list[Path], columns: list[str]) -> Iterator[tuple[int, list[dict[str, np.ndarray]], Path]]:
    """Each stretch of rows of one episode, as parts of its columns, and the file in which it ends."""
    current, parts, place = None, [], files[0]
    for path in files:
        for batch in _batches(path, columns):
            numbers = batch["episode_index"]
            starts = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1))
            for start, stop in zip(starts, [*starts[1:], len(numbers)], strict=True):
                if current is not None and numbers[start] != current:
                    yield current, parts, place
                    parts = []
                current, place = int(numbers[start]), path
                parts.append({name: values[start:stop] for name, values in batch.items()})
    if current is not None:
        yield current, parts, place


def _batches(path: Path, columns: list[str]) -> Iterator[dict[str, np.ndarray]]:
    try:
        with pq.ParquetFile(path) as file:
            held = file.schema_arrow.names
            for name in columns:
                if name not in held:
                    raise SegmentError(f"{path}: no column {name!r}; it holds {', '.join(held)}")
            for batch in file.iter_batches(_ROWS, columns=columns):
                found = {name: matrix(batch[name], f"{path}, {name!r}") for name in columns}
                for name in (*_PLACE, *_OPTIONAL):
                    if name in found and found[name].ndim == 2 and found[name].shape[1] == 1:
                        found[name] = found[name][:, 0]
                if len(batch):
                    yield found
    except DAMAGE as error:
        raise SegmentError(f"{path}: damaged ({error})") from None


def _check_order(joined: dict[str, np.ndarray], number: int, episodes: int, frames: int, place: str) -> None:
    if number != episodes:
        raise SegmentError(f"{place}: expected episode_index {episodes} next, got {number}; is a file missing?")
    for name, first in (("frame_index", 0), ("index", frames)):
        wanted = np.arange(first, first + len(joined[name]))
        if not np.array_equal(joined[name], wanted):
            step = np.flatnonzero(joined[name] != wanted)[0]
            found = f"expected {name} {wanted[step]}, got {joined[name][step]}"
            raise SegmentError(f"{place}, step {step}: {found}")


def _episode(joined: dict[str, np.ndarray], keys: tuple[str, ...], place: str) -> Episode:
    parts = [joined[key] for key in keys]
    return Episode(
        np.concatenate([part[:, None] if part.ndim == 1 else part for part in parts], 1),
        joined[_ACTION],
        **{ours: joined[theirs] for theirs, ours in _OPTIONAL.items() if theirs in joined},
        id=str(joined["episode_index"][0]),
        place=place,
    )
