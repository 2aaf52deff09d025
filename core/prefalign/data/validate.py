"""The one pass over a set before it is used: every row becomes a record, its media are opened, its id is its own."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from prefalign.data.formats.layout import Layout
from prefalign.data.media import check_image, map_media, resolve_media
from prefalign.data.rows import Rows
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import Media, PreferenceRecord

MediaCheck = Literal["decode", "exists"]
"""How far media are examined: pictures decoded once, or files only found."""


@dataclass(frozen=True)
class RecordReader:
    """Turns row `index` into a record whose media paths are absolute and checked.

    Attributes:
        rows: the rows.
        layout: how they are spelled.
        folder: to which media paths are relative.
    """

    rows: Rows
    layout: Layout
    folder: Path

    def __call__(self, index: int, check: Callable[[Media, str], None] | None = None) -> PreferenceRecord:
        """The record, after `check(medium, field)` of each medium.

        Raises:
            RecordError: naming file, row, record and field.
        """
        record_id = None
        try:
            row = self.rows.row(index)
            given = row.get("id")
            record_id = str(given) if isinstance(given, str | int) else None
            record = self.layout.read(row, "" if given is not None else f"{index + 1}-{row_hash(row)}")
            record_id = record.id

            def resolve(medium: Media, field: str) -> Media:
                found = resolve_media(medium, self.folder, field)
                if check is not None:
                    check(found, field)
                return found

            return map_media(record, resolve)
        except RecordError as error:
            raise error.located(self.rows.place(index), record_id) from error
        except RecursionError:
            problem, where = "expected a row, got one nested too deeply", self.rows.place(index)
            raise RecordError(problem, field="row", record_id=record_id, where=where) from None


def row_hash(row: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits of a row's content; with the row's number they make an id where none is given."""
    digest = hashlib.sha256()

    def spell(value: Any) -> str:
        content = value.tobytes() if isinstance(value, np.ndarray) else value
        return hashlib.sha256(content if isinstance(content, bytes) else str(value).encode()).hexdigest()

    digest.update(json.dumps(row, sort_keys=True, default=spell).encode())
    return digest.hexdigest()[:8]


@dataclass
class Checked:
    """The outcome of a pass.

    Attributes:
        kept: indices of the usable rows.
        ids: (len(kept),) uint64 hashes of their ids, by which sets are compared without holding the ids.
        media: every media file that they name, with its size in bytes and modification time in ns.
        dropped: how many rows are not usable.
    """

    kept: np.ndarray
    ids: np.ndarray
    media: list[tuple[str, int, int]]
    dropped: int

    def save(self, folder: Path) -> None:
        """Write to a cache entry."""
        np.save(folder / "kept.npy", self.kept)
        np.save(folder / "ids.npy", self.ids)
        (folder / "outcome.json").write_text(json.dumps({"dropped": self.dropped, "media": self.media}))

    @classmethod
    def load(cls, folder: Path) -> Checked:
        """Read from a cache entry; the arrays are mapped, not read."""
        outcome = json.loads((folder / "outcome.json").read_text())
        kept, ids = (np.load(folder / f"{n}.npy", mmap_mode="r", allow_pickle=False) for n in ("kept", "ids"))
        return cls(kept, ids, [tuple(medium) for medium in outcome["media"]], outcome["dropped"])

    def media_unchanged(self) -> bool:
        """Whether the media files are as they were, judged by size and modification time."""
        return all(_status(path) == (size, time) for path, size, time in self.media)


def _status(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def check_records(read: RecordReader, media: MediaCheck, refuse: Callable[[int, RecordError], None]) -> Checked:
    """Read every row once, in order, holding one at a time.

    Args:
        read: makes records of rows.
        media: how far media are examined.
        refuse: called with each unusable row's index and error; raising from it ends the pass.
    """
    count = len(read.rows)
    hashes = np.zeros(count, np.uint64)
    usable = np.zeros(count, bool)
    seen: dict[str, tuple[int, int] | None] = {}

    def check(medium: Media, field: str) -> None:
        if medium.path is not None and medium.path in seen:
            return
        if media == "decode" and medium.kind == "image":
            try:
                check_image(medium)
            except RecordError as error:
                raise RecordError(error.problem, field=field) from error
        if medium.path is not None:
            seen[medium.path] = _status(medium.path)

    for index in range(count):
        try:
            hashes[index] = id_hash(read(index, check).id)
            usable[index] = True
        except RecordError as error:
            refuse(index, error)
    for index, earlier in _repeated(hashes, usable):
        record, other = read(index), read(earlier)
        if record.id == other.id:
            usable[index] = False
            problem = f"the id stands already at {read.rows.place(earlier)}"
            refuse(index, RecordError(problem, field="id", record_id=record.id, where=read.rows.place(index)))
    kept = np.flatnonzero(usable)
    media_files = [(path, *status) for path, status in seen.items() if status is not None]
    return Checked(kept, hashes[kept], media_files, count - len(kept))


def id_hash(record_id: str) -> int:
    """64 bits of an id. Equal hashes are compared again by the ids themselves."""
    return int.from_bytes(hashlib.blake2b(record_id.encode(), digest_size=8).digest(), "little")


def _repeated(hashes: np.ndarray, usable: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (index, index of the first row with the same hash), in the order of rows."""
    indices = np.flatnonzero(usable)
    _, first, inverse = np.unique(hashes[indices], return_index=True, return_inverse=True)
    earliest = indices[first[inverse]]
    return [(int(i), int(e)) for i, e in zip(indices[indices != earliest], earliest[indices != earliest], strict=True)]
