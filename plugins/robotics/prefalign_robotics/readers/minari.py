"""Data sets as Minari keeps them: a folder `data` with `metadata.json` and either of two layouts.

HDF5: `main_data.hdf5` with `episode_<i>/{observations, actions, rewards, terminations, truncations}`. Arrow or Parquet:
`<i>/part-*.arrow` with these as columns, whose last row holds the last observation and padding. In both, an episode of
T steps has T+1 observations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from prefalign_robotics.readers.arrow import matrix, read_table
from prefalign_robotics.readers.hdf5 import Hdf5, open_hdf5
from prefalign_robotics.readers.paths import inside, read_json, whole
from prefalign_robotics.segments.episodes import Episode
from prefalign_robotics.segments.errors import SegmentError

_HDF5 = "main_data.hdf5"
_SCALARS = ("rewards", "terminations", "truncations")


def read_minari(folder: Path | str, keys: Sequence[str] | None = None) -> Iterator[Episode]:
    """The episodes of a data set in order.

    Args:
        folder: of the data set, which holds `data`; or `data` itself.
        keys: the entries of a dictionary observation that are put side by side, in this order, such as
            `("observation", "desired_goal")`; a slash leads into nested ones. None for an observation of one array.

    Raises:
        SegmentError: naming file and key, for what is absent or damaged, and paths that leave the folder.
    """
    root = Path(folder)
    root = root / "data" if (root / "data").is_dir() else root
    described = root / "metadata.json"
    facts = read_json(root, described)
    count, layout = whole(facts, "total_episodes", described), facts.get("data_format", "hdf5")
    chosen = None if keys is None else tuple(keys)
    if layout == "hdf5":
        yield from _hdf5_episodes(inside(root, root / _HDF5), count, chosen)
    elif layout in ("arrow", "parquet"):
        for number in range(count):
            yield _arrow_episode(root, number, layout, chosen)
    else:
        raise SegmentError(f"{described}: expected data_format hdf5, arrow or parquet, got {layout!r}")


def _hdf5_episodes(path: Path, count: int, keys: tuple[str, ...] | None) -> Iterator[Episode]:
    with open_hdf5(path) as file:
        held = sum(name.startswith("episode_") for name in file.names(""))
        if held != count:
            raise SegmentError(f"{path}: expected {count} episodes by metadata.json, got {held}")
        for number in range(count):
            group = f"episode_{number}"
            columns: dict[str, Any] = {name: file.read(f"{group}/{name}") for name in _SCALARS}
            columns["actions"] = _actions(file, group)
            yield _episode(file.matrix(f"{group}/observations", keys), columns, number, f"{path}, {group}")


def _actions(file: Hdf5, group: str) -> np.ndarray:
    return file.matrix(f"{group}/actions", None)


def _arrow_episode(root: Path, number: int, layout: str, keys: tuple[str, ...] | None) -> Episode:
    folder = inside(root, root / str(number))
    parts = [inside(root, part) for part in sorted(folder.glob(f"*.{layout}"))]
    if not parts:
        raise SegmentError(f"{folder}: there is no .{layout} file in it")
    place = f"{folder}, episode {number}"
    try:
        table = pa.concat_tables([read_table(part) for part in parts])
    except pa.ArrowException as error:
        raise SegmentError(f"{folder}: its files do not fit one another ({error})") from None
    for name in ("observations", "actions", *_SCALARS):
        if name not in table.column_names:
            raise SegmentError(f"{place}: no column {name!r}; it holds {', '.join(table.column_names)}")
    columns = {
        name: matrix(table[name].slice(0, max(0, len(table) - 1)), f"{place}, {name!r}")
        for name in ("actions", *_SCALARS)
    }
    return _episode(_observations(table["observations"], keys, f"{place}, 'observations'"), columns, number, place)


def _observations(column: pa.ChunkedArray, keys: tuple[str, ...] | None, place: str) -> np.ndarray:
    if pa.types.is_struct(column.type) != bool(keys):
        held = ", ".join(f.name for f in column.type) if pa.types.is_struct(column.type) else ""
        raise SegmentError(f"{place}: " + (f"choose some of the keys {held}" if held else "one array has no keys"))
    parts = []
    for key in keys or ("",):
        values = column.combine_chunks()
        for name in filter(None, key.split("/")):
            known = [f.name for f in values.type] if pa.types.is_struct(values.type) else []
            if name not in known:
                raise SegmentError(f"{place}: no key {key!r}; it holds {', '.join(known) or 'no others'}")
            values = values.field(name)
        part = matrix(values, f"{place}, {key!r}" if key else place)
        parts.append(part[:, None] if part.ndim == 1 else part)
    return np.concatenate(parts, 1)


def _episode(observations: np.ndarray, columns: Mapping[str, np.ndarray], number: int, place: str) -> Episode:
    steps = len(columns["actions"])
    if len(observations) != steps + 1:
        problem = f"expected {steps + 1} observations, one more than actions, got {len(observations)}"
        raise SegmentError(f"{place}: {problem}")
    if observations.ndim == 1:
        observations = observations[:, None]
    return Episode(observations[:-1], **columns, final_observation=observations[-1], id=str(number), place=place)
