"""Pairs of trajectory fragments in an `.npz` file: unpacked once into arrays that are mapped into memory.

Fragments of one length are stacked: `obs_1 (B, T+1, O)`, `acts_1 (B, T, A)`, `terminal_1 (B,)`, `rews_1 (B, T)` and the
same with `_2`. Fragments of different lengths lie end to end, as `imitation` saved trajectories: `obs_1 (ΣT+B, O)`,
`acts_1 (ΣT, A)`, and `indices_1 (B−1,)` with the steps at which a new fragment begins. `preferences (B,)` is the
probability that the first fragment is the better one.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prefalign.data.fields import near_names
from prefalign.interfaces.errors import RecordError

PREFERENCES = "preferences"
PARTS = ("obs", "acts", "infos", "terminal", "rews", "indices")
REQUIRED = ("obs", "acts")
OPTIONAL_COLUMNS = ("id", "annotator", "weight")
KEYS = frozenset({PREFERENCES, *OPTIONAL_COLUMNS, *(f"{part}_{side}" for part in PARTS for side in (1, 2))})


class FragmentRows:
    """One row per pair: the arrays of both fragments and the probability.

    Args:
        folder: where `unpack_fragments` put the arrays.
        name: how messages call the file.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._load()

    def _load(self) -> None:
        self._arrays = {p.stem: np.load(p, mmap_mode="r", allow_pickle=False) for p in self.folder.glob("*.npy")}

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "name": self.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._load()

    def __len__(self) -> int:
        return len(self._arrays[PREFERENCES])

    def place(self, index: int) -> str:
        return f"{self.name}, pair {index + 1}"

    def row(self, index: int) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for key, array in self._arrays.items():
            part, _, side = key.rpartition("_")
            if side not in ("1", "2"):
                found[key] = array[index].item()
            elif part != "indices":
                found[key] = self._part(part, side, index)
        return found

    def _part(self, part: str, side: str, index: int) -> np.ndarray:
        array = self._arrays[f"{part}_{side}"]
        ends = self._arrays.get(f"indices_{side}")
        if ends is None or part == "terminal":
            return np.array(array[index])
        start = int(ends[index - 1]) if index else 0
        stop = int(ends[index]) if index < len(ends) else len(self._arrays[f"acts_{side}"])
        if part == "obs":  # one more observation than actions in every fragment
            start, stop = start + index, stop + index + 1
        return np.array(array[start:stop])

    def raw(self, index: int) -> Any:
        return {key: str(np.shape(value)) for key, value in self.row(index).items()}


def unpack_fragments(source: Path, target: Path, name: str) -> None:
    """Write every array of an `.npz` file to `target` as a file of its own, and check that they fit one another.

    Raises:
        RecordError: for a damaged file, arrays that would need pickle, unknown or missing names, and odd lengths.
    """

    def refuse(problem: str, field: str = "file") -> RecordError:
        return RecordError(problem, field=field, where=name)

    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with zipfile.ZipFile(source) as archive:
            for member in archive.namelist():
                key = member.removesuffix(".npy")
                if key not in KEYS:
                    near = near_names(key, KEYS)
                    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(KEYS))}"
                    raise refuse(f"unknown array; {hint}", key)
                with archive.open(member) as packed, open(target / f"{key}.npy", "wb") as out:
                    shutil.copyfileobj(packed, out, 2**20)
                shapes[key] = np.load(target / f"{key}.npy", mmap_mode="r", allow_pickle=False).shape
    except RecordError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise refuse(f"expected arrays that load without pickle: {error}") from None
    for key in (PREFERENCES, *(f"{part}_{side}" for part in REQUIRED for side in (1, 2))):
        if not shapes.get(key):
            raise refuse("expected an array of this name with one entry per pair", key)
    count = shapes[PREFERENCES][0]
    for key, shape in shapes.items():
        part, _, side = key.rpartition("_")
        flat = f"indices_{side}" in shapes and part != "terminal"
        if not flat and (not shape or shape[0] != count):
            raise refuse(f"expected {count} entries, one per pair, got shape {shape}", key)
        if flat:
            steps = shapes[f"acts_{side}"][0]
            length = {"obs": steps + count, "indices": count - 1}.get(part, steps)
            if shape[:1] != (length,):
                raise refuse(f"expected {length} entries, got shape {shape}", key)
            if part == "indices":
                ends = np.load(target / f"{key}.npy", allow_pickle=False)
                if ends.dtype.kind not in "iu" or not np.all(np.diff([0, *ends.tolist(), steps]) > 0):
                    raise refuse(f"expected whole numbers that rise between 0 and {steps}", key)
