"""Record sources over files: opened by name, checked before they are handed out, read one record at a time."""

from __future__ import annotations

import bisect
import itertools
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, overload

import numpy as np

from prefalign.data.cache import discard, entry
from prefalign.data.files import DataFiles, locate
from prefalign.data.formats import detect_layout, get_layout
from prefalign.data.formats.layout import Layout
from prefalign.data.formats.llamafactory import LLAMAFACTORY, described_layout
from prefalign.data.quarantine import Quarantine, quarantine_path
from prefalign.data.rows import Rows
from prefalign.data.validate import Checked, MediaCheck, RecordReader, check_records, id_hash
from prefalign.interfaces.errors import PrefalignError, RecordError
from prefalign.interfaces.record import PreferenceRecord
from prefalign.interfaces.source import RecordSource

log = logging.getLogger(__name__)

OnBad = Literal["error", "skip"]

_PLUGIN_SCHEME = re.compile(r"[a-z][a-z0-9_+.-]+:.*", re.DOTALL)


class FileSource(Sequence[PreferenceRecord]):
    """The usable records of one file or folder.

    Records are made when they are asked for, with the paths of their media absolute and checked.

    Attributes:
        name: how messages call it.
        folder: the dataset's folder.
        layout: name of the rows' layout.
        dropped: how many rows were left out.
        ids: (len,) uint64 hashes of the records' ids.
    """

    def __init__(self, files: DataFiles, reader: RecordReader, checked: Checked) -> None:
        self.name, self.folder, self.layout = files.name, files.folder, reader.layout.name
        self.files = files
        self._read, self._kept = reader, checked.kept
        self.ids, self.dropped = checked.ids, checked.dropped

    def __len__(self) -> int:
        return len(self._kept)

    @overload
    def __getitem__(self, index: int) -> PreferenceRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[PreferenceRecord]: ...
    def __getitem__(self, index: int | slice) -> PreferenceRecord | list[PreferenceRecord]:
        """Record `index`, or a list of them for a slice.

        Raises:
            RecordError: if a medium has disappeared since the source was opened.
        """
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._read(int(self._kept[index]))

    def __getstate__(self) -> dict[str, Any]:
        # A layout is a constant that holds functions: its name travels.
        arrays = {"_kept": np.array(self._kept), "ids": np.array(self.ids)}
        return self.__dict__ | arrays | {"_read": (self._read.rows, self._read.folder)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        rows, folder = state["_read"]
        self._read = RecordReader(rows, _layout_of(self.files, rows, self.layout), folder)


class JoinedSource(Sequence[PreferenceRecord]):
    """Several sources one after the other.

    Raises:
        RecordError: if an id stands in two of them.
    """

    def __init__(self, sources: Sequence[RecordSource]) -> None:
        if not sources:
            raise PrefalignError("expected at least one source of records")
        self.sources = list(sources)
        self.name = " + ".join(source.name for source in sources)
        self._ends = list(itertools.accumulate(len(source) for source in sources))
        self._refuse_shared_ids()

    def __len__(self) -> int:
        return self._ends[-1]

    @overload
    def __getitem__(self, index: int) -> PreferenceRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[PreferenceRecord]: ...
    def __getitem__(self, index: int | slice) -> PreferenceRecord | list[PreferenceRecord]:
        """Record `index`, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        number = bisect.bisect_right(self._ends, index)
        return self.sources[number][index - (self._ends[number - 1] if number else 0)]

    def _refuse_shared_ids(self) -> None:
        hashes = np.concatenate([_id_hashes(source) for source in self.sources])
        order = np.argsort(hashes, kind="stable")
        for a, b in itertools.pairwise(order.tolist()):
            if hashes[a] == hashes[b] and self[a].id == self[b].id:
                places = [self.sources[bisect.bisect_right(self._ends, i)].name for i in (a, b)]
                problem = f"the id stands in {places[0]} and in {places[1]}"
                raise RecordError(problem, field="id", record_id=self[b].id, where=places[1])


def _id_hashes(source: RecordSource) -> np.ndarray:
    if isinstance(source, FileSource):
        return source.ids
    return np.fromiter((id_hash(source[i].id) for i in range(len(source))), np.uint64, len(source))


def open_records(
    uri: str | Path,
    format: str | None = None,
    on_bad: OnBad = "error",
    quarantine: Path | None = None,
    *,
    split: str | None = None,
    media_folder: Path | None = None,
    check_media: MediaCheck = "decode",
) -> RecordSource:
    """Open a set of preference records, after a pass over all of it that finds what cannot be used.

    The pass is made once: its outcome is kept by the content of the files.

    Args:
        uri: a file or folder as `prefalign.data.files.locate` takes it, or an address that a plugin opens.
        format: name of the layout of the rows; found by their columns if None.
        on_bad: `error` raises at the first row that cannot be used; `skip` leaves such rows out, and writes them with
            the reasons to the quarantine file.
        quarantine: that file, or the folder for it; beside the data as `<name>.quarantine.jsonl` if None.
        split: part of a folder that holds several.
        media_folder: to which media paths are relative and which they may not leave; the data's own folder if None.
        check_media: `decode` decodes each picture once, `exists` only finds the files.

    Raises:
        RecordError: naming file, row, record id and field of the first bad row, or the damage of the whole file.
        PrefalignError: if there is no such file, or nothing in it is usable.
    """
    address = str(uri)
    if isinstance(uri, str) and _is_for_plugins(address):
        from prefalign.hooks.registry import get_registry

        opened: RecordSource = get_registry().open_pairs(address, split or "train")
        return opened
    for name, value, known in (("on_bad", on_bad, OnBad), ("check_media", check_media, MediaCheck)):
        if value not in get_args(known):
            raise PrefalignError(f"expected {name} to be one of {', '.join(get_args(known))}, got {value!r}")
    files = locate(address, split)
    rows = files.rows()
    if not len(rows):
        raise RecordError("there are no records in it", field="file", where=files.name)
    layout = _layout_of(files, rows, format)
    folder = files.folder if media_folder is None else Path(media_folder)
    reader = RecordReader(rows, layout, folder)
    target = quarantine_path(files.name, files.folder, quarantine)
    checked = _checked(files, reader, on_bad, target, check_media)
    if checked.dropped:
        log.warning("%s: left out %d of %d rows; reasons in %s", files.name, checked.dropped, len(rows), target)
    if not len(checked.kept):
        raise PrefalignError(f"{files.name}: none of its {len(rows)} rows is usable; reasons in {target}")
    return FileSource(files, reader, checked)


def _is_for_plugins(address: str) -> bool:
    if not _PLUGIN_SCHEME.fullmatch(address) or Path(address).exists():
        return False
    return address.partition(":")[0] not in ("jsonl", "json", "parquet", "arrow", "npz")


def _layout_of(files: DataFiles, rows: Rows, name: str | None) -> Layout:
    if name in (None, LLAMAFACTORY.name) and len(files.files) == 1:
        described = described_layout(files.files[0][0])
        if described is not None:
            return described
    return detect_layout(rows) if name is None else get_layout(name)


def _checked(files: DataFiles, reader: RecordReader, on_bad: OnBad, target: Path, media: MediaCheck) -> Checked:
    """The outcome of the pass, from the cache where it may be."""
    key = [*files.hashes(), reader.layout.name, str(reader.folder.resolve()), media]

    def make(folder: Path) -> None:
        _pass(reader, on_bad, target, media).save(folder)

    found = Checked.load(kept := entry("checked", key, make))
    unexplained = found.dropped and (on_bad == "error" or not target.is_file())
    if unexplained or not found.media_unchanged():
        discard(kept)
        found = Checked.load(entry("checked", key, make))
    return found


def _pass(reader: RecordReader, on_bad: OnBad, target: Path, media: MediaCheck) -> Checked:
    if on_bad == "error":

        def stop(index: int, error: RecordError) -> None:
            raise error

        return check_records(reader, media, stop)
    with Quarantine(target, "reading") as quarantine:
        return check_records(reader, media, lambda index, error: quarantine.write(_raw(reader.rows, index), error))


def _raw(rows: Rows, index: int) -> object:
    try:
        return rows.raw(index)
    except RecordError:
        return None


def concatenate(sources: Sequence[RecordSource]) -> RecordSource:
    """Several sources as one.

    Raises:
        RecordError: if an id stands in two of them.
    """
    return sources[0] if len(sources) == 1 else JoinedSource(sources)


def iterate(source: RecordSource) -> Iterator[PreferenceRecord]:
    """The records of any source in order."""
    return (source[index] for index in range(len(source)))
