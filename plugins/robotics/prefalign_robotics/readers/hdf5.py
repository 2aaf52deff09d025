"""HDF5 files that are not trusted: numbers under hard links of this one file, and nothing else.

HDF5 can point to other files by external links, virtual data sets and external storage, and can declare far more
numbers than it holds. All of these are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from prefalign_robotics.segments.errors import SegmentError

_SUSPICIOUS = 2**26
_DEFLATE_LIMIT = 1100
"""Deflate, the densest of HDF5's own filters, packs no more than 1032 bytes into one."""


class Hdf5:
    """An open file, read by full keys such as `data/demo_0/actions`.

    Attributes:
        path: of the file, for messages.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self._file = path, file

    def has(self, key: str) -> bool:
        """Whether something stands under the key, wherever it may lead."""
        parent, _, name = key.rpartition("/")
        group = self._at(parent)
        with self._reading(key):
            return isinstance(group, h5py.Group) and name in group.keys()  # noqa: SIM118  # `in group` follows links

    def names(self, key: str) -> list[str]:
        """Of what a group holds."""
        group = self._at(key)
        if not isinstance(group, h5py.Group):
            raise self.error(key, "expected a group, got a data set")
        with self._reading(key):
            found = list(group.keys())
        for name in found:
            if not isinstance(name, str):  # bytes that are no UTF-8
                raise self.error(key, f"damaged (the name {name!r})")
        return found

    def attribute(self, key: str, name: str) -> Any:
        """An attribute of a group or data set; None if it has none of this name."""
        with self._reading(key):
            return self._at(key).attrs.get(name)

    def length(self, key: str) -> int:
        """Entries along the first axis of an array of numbers."""
        return int(self._numbers(key).shape[0])

    def read(self, key: str, rows: slice = slice(None)) -> np.ndarray:
        """The numbers under a key: (T,) or (T, n), of `rows` alone if given.

        Raises:
            SegmentError: naming file and key, if they are absent, damaged, elsewhere, no numbers, or of more axes.
        """
        found = self._numbers(key)
        with self._reading(key):
            return np.asarray(found[rows])

    def matrix(self, group: str, keys: tuple[str, ...] | None, rows: slice = slice(None)) -> np.ndarray:
        """(T, n) the arrays `keys` of a group, side by side in their order; without keys, the array that is there.

        Raises:
            SegmentError: as `read`, for arrays of different lengths, or where keys are to be chosen and are not.
        """
        at_group = isinstance(self._at(group), h5py.Group)
        if at_group != bool(keys):
            problem = f"choose some of {', '.join(self.names(group))}" if at_group else "a single array has no keys"
            raise self.error(group, problem)
        names = [f"{group}/{key}" for key in keys] if keys else [group]
        parts: list[np.ndarray] = []
        for name, key in zip(names, keys or ("",), strict=True):
            if keys and not self.has(name):
                raise self.error(group, f"no key {key!r}; it holds {', '.join(self.names(group))}")
            part = self.read(name, rows)
            parts.append(part[:, None] if part.ndim == 1 else part)
            if len(part) != len(parts[0]):
                raise self.error(name, f"expected {len(parts[0])} steps as under {names[0]!r}, got {len(part)}")
        return np.concatenate(parts, 1)

    def texts(self, key: str) -> list[str]:
        """The texts of a data set (n,)."""
        found = self._at(key)
        with self._reading(key):
            if not isinstance(found, h5py.Dataset) or found.ndim != 1 or found.dtype.kind not in "SO":
                raise self.error(key, "expected a list of texts")
            self._refuse_elsewhere(key, found)
            return [v.decode() if isinstance(v, bytes) else str(v) for v in found[()]]

    def error(self, key: str, problem: str) -> SegmentError:
        """An error about a key of this file."""
        return SegmentError(f"{self.path}: {key!r}: {problem}")

    def _at(self, key: str) -> Any:
        here: Any = self._file
        done = ""
        for name in filter(None, key.split("/")):
            where = f"{done}/{name}".lstrip("/")
            with self._reading(where):
                link = here.get(name, getlink=True) if isinstance(here, h5py.Group) else None
                if link is None:
                    held = f"; {done or 'the file'} holds {', '.join(here)}" if isinstance(here, h5py.Group) else ""
                    raise self.error(where, f"there is none{held}")
                if not isinstance(link, h5py.HardLink):
                    kind = "to another file" if isinstance(link, h5py.ExternalLink) else "elsewhere"
                    problem = f"a link that leads {kind} ({link.path!r})"
                    raise self.error(where, f"{problem}; expected the data in its place: copy it into the file")
                here = here[name]
            done = where
        return here

    def _numbers(self, key: str) -> h5py.Dataset:
        found = self._at(key)
        with self._reading(key):
            if not isinstance(found, h5py.Dataset):
                held = f"a group of {', '.join(found)}" if isinstance(found, h5py.Group) else "a type"
                raise self.error(key, f"expected an array, got {held}")
            if found.dtype.kind not in "biuf" or found.ndim not in (1, 2):
                got = f"{found.shape} {found.dtype}"
                raise self.error(key, f"expected numbers (steps,) or (steps, numbers), no pictures or texts, got {got}")
            self._refuse_elsewhere(key, found)
        return found

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        """Turn what h5py raises over damage, which may be nearly anything, into an error that names the key."""
        try:
            yield
        except SegmentError:
            raise
        except (OSError, RuntimeError, ValueError, TypeError, LookupError, OverflowError) as error:
            raise self.error(key, f"damaged ({error})") from None

    def _refuse_elsewhere(self, key: str, found: h5py.Dataset) -> None:
        if found.is_virtual or found.external:
            raise self.error(key, "its numbers lie in other files; copy them into this one")
        held = found.id.get_storage_size()
        if found.nbytes > max(_SUSPICIOUS, _DEFLATE_LIMIT * held):
            raise self.error(
                key, f"declares {found.nbytes} bytes and holds {held}: damaged, or made to fill the memory"
            )


@contextmanager
def open_hdf5(path: Path | str) -> Iterator[Hdf5]:
    """Open a file for reading.

    Raises:
        SegmentError: if there is none, or it is none of HDF5.
    """
    path = Path(path)
    if not path.is_file():
        raise SegmentError(f"{path}: no such file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise SegmentError(f"{path}: damaged, or no HDF5 file ({error})") from None
    with file:
        yield Hdf5(path, file)
