"""Transitions as D4RL keeps them: arrays of all episodes end to end, in an HDF5 file.

Keys: `observations`, `actions`, `rewards`, `terminals`, and mostly `timeouts` and `next_observations`. An episode ends
where one of `terminals` and `timeouts` is set.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from prefalign_robotics.readers.hdf5 import Hdf5, open_hdf5
from prefalign_robotics.segments.episodes import Episode


def read_d4rl(path: Path | str, max_steps: int | None = None) -> Iterator[Episode]:
    """The episodes of a file, one in memory at a time; the last may be cut off without a flag.

    Args:
        path: the HDF5 file.
        max_steps: after how many steps the environment resets. Needed where the file has no `timeouts`, without
            which episodes that did not succeed cannot be told apart; refused where it has.

    Raises:
        SegmentError: naming file and key, for what is absent, damaged or of different lengths.
    """
    with open_hdf5(path) as file:
        terminals, timeouts = _ends(file, max_steps)
        stops = np.flatnonzero(terminals | timeouts) + 1
        if not len(stops) or stops[-1] < len(terminals):
            stops = np.append(stops, len(terminals))
        followed = file.has("next_observations")
        start = 0
        for number, stop in enumerate(stops.tolist()):
            rows = slice(start, stop)
            yield Episode(
                file.read("observations", rows),
                file.read("actions", rows),
                rewards=file.read("rewards", rows),
                terminations=terminals[rows],
                truncations=timeouts[rows],
                final_observation=np.atleast_1d(file.read("next_observations", slice(stop - 1, stop))[0])
                if followed
                else None,
                id=str(number),
                place=f"{file.path}, episode {number} (rows {start} to {stop})",
            )
            start = stop


def _ends(file: Hdf5, max_steps: int | None) -> tuple[np.ndarray, np.ndarray]:
    """(T,) and (T,) bool: the task ended, the recording was cut."""
    terminals = _flags(file, "terminals")
    names = ["observations", "actions", "rewards"]
    names += [name for name in ("timeouts", "next_observations") if file.has(name)]
    for name in names:
        if (length := file.length(name)) != len(terminals):
            raise file.error(name, f"expected {len(terminals)} steps as under 'terminals', got {length}")
    if not len(terminals):
        raise file.error("terminals", "there is no step in it")
    if file.has("timeouts") != (max_steps is None):
        problem = "expected max_steps, after which the environment resets" if max_steps is None else "is there"
        raise file.error("timeouts", problem if max_steps is None else f"{problem}, so leave max_steps out")
    if max_steps is None:
        return terminals, _flags(file, "timeouts")
    if max_steps < 1:
        raise file.error("timeouts", f"expected max_steps of at least 1, got {max_steps}")
    timeouts, run = np.zeros_like(terminals), 0
    for step, ended in enumerate(terminals.tolist()):
        run += 1
        if ended or run == max_steps:
            timeouts[step], run = not ended, 0
    return terminals, timeouts


def _flags(file: Hdf5, key: str) -> np.ndarray:
    found = file.read(key)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1 or not np.isin(found, (0, 1)).all():
        raise file.error(key, "expected flags (steps,) of 0 and 1")
    return found.astype(bool)
