"""Demonstrations as robomimic keeps them: `data/demo_<i>` with `actions`, `rewards`, `dones`, `obs/*` and `next_obs/*`.

`mask/<name>` lists the demonstrations of a part, such as `train`, `valid` or `better_operator`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from prefalign_robotics.readers.hdf5 import Hdf5, open_hdf5
from prefalign_robotics.segments.episodes import Episode

_DEMO = re.compile(r"demo_(\d+)")


def read_robomimic(path: Path | str, keys: Sequence[str], mask: str | None = None) -> Iterator[Episode]:
    """The demonstrations of a file in the order of their numbers.

    Args:
        path: the HDF5 file.
        keys: the low-dimensional arrays under `obs` that make up an observation, side by side in this order; or
            `("states",)` for the simulator's whole state.
        mask: the part to read; all if None.

    Raises:
        SegmentError: naming file and key, for what is absent or damaged, pictures, or links that leave the file.
    """
    with open_hdf5(path) as file:
        for demo in _demos(file, mask):
            yield _episode(file, demo, tuple(keys))


def _demos(file: Hdf5, mask: str | None) -> list[str]:
    names = file.names("data")
    for name in names:
        if not _DEMO.fullmatch(name):
            raise file.error(f"data/{name}", "expected groups demo_<number> alone")
    if mask is not None:
        chosen = file.texts(f"mask/{mask}")
        for name in chosen:
            if name not in names:
                raise file.error(f"mask/{mask}", f"names {name!r}, and there are {len(names)} others")
        names = chosen
    if not names:
        raise file.error("data" if mask is None else f"mask/{mask}", "there is no demonstration in it")
    return sorted(set(names), key=lambda name: int(name.removeprefix("demo_")))


def _episode(file: Hdf5, demo: str, keys: tuple[str, ...]) -> Episode:
    group = f"data/{demo}"
    whole_state = keys == ("states",)
    observations = file.matrix(f"{group}/states", None) if whole_state else file.matrix(f"{group}/obs", keys)
    final = None
    if not whole_state and file.has(f"{group}/next_obs"):
        final = file.matrix(f"{group}/next_obs", keys)[-1:]
    episode = Episode(
        observations,
        file.read(f"{group}/actions"),
        rewards=file.read(f"{group}/rewards") if file.has(f"{group}/rewards") else None,
        dones=file.read(f"{group}/dones") if file.has(f"{group}/dones") else None,
        final_observation=final[0] if final is not None and len(final) else None,
        id=demo,
        place=f"{file.path}, {demo}",
    )
    stated = file.attribute(group, "num_samples")
    if stated is not None and not np.array_equal(stated, len(episode)):
        raise file.error(group, f"num_samples is {stated}, but there are {len(episode)} actions")
    return episode
