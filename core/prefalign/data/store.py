"""Writing records: Parquet as the stored form, JSON lines for people, other libraries' layouts for other libraries.

A file appears under its name when it is complete. Until then, and if anything fails, what stood there stays.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prefalign.data.atomic import atomic_new_path, atomic_path
from prefalign.data.canonical import record_to_dict
from prefalign.data.fields import expected
from prefalign.data.formats import get_layout
from prefalign.data.formats.layout import write_row
from prefalign.data.media import MediaPlacer, MediaPlacing
from prefalign.data.schema import RECORD_SCHEMA
from prefalign.interfaces.errors import PrefalignError, RecordError
from prefalign.interfaces.record import PreferenceRecord

_GROUP_ROWS = 1024
_GROUP_BYTES = 32 * 2**20
_SHARD = re.compile(r"part-(\d+)\.parquet")


def write_parquet(records: Iterable[PreferenceRecord], path: Path, media: MediaPlacing = "refer") -> int:
    """Write records to a Parquet file that holds every field of them, and return how many there were.

    The same records give the same bytes, under the same version of pyarrow.

    Args:
        records: in the order to be written; ids must differ.
        path: the file.
        media: what becomes of media files.

    Raises:
        RecordError: for a record that cannot be stored, an id given twice, or a medium outside the file's folder.
    """
    rows = (record_to_dict(record, binary=True) for record in _checked(records, path.parent, media))
    with atomic_path(path) as partial:
        return _write_groups(rows, partial, RECORD_SCHEMA)


def append_parquet(records: Iterable[PreferenceRecord], folder: Path, media: MediaPlacing = "refer") -> Path:
    """Write records to the next shard `part-00000.parquet`, `part-00001.parquet`, … of a folder, and return its path.

    What is there is not touched; two processes that append at once get a shard each. That ids differ between shards is
    checked when the folder is opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = (record_to_dict(record, binary=True) for record in _checked(records, folder, media))
    names: list[str] = []

    def next_name() -> str:
        taken = [int(match[1]) for path in folder.iterdir() if (match := _SHARD.fullmatch(path.name))]
        names.append(f"part-{max(taken, default=-1) + 1:05d}.parquet")
        return names[-1]

    with atomic_new_path(folder, next_name) as partial:
        _write_groups(rows, partial, RECORD_SCHEMA)
    return folder / names[-1]


def write_jsonl(
    records: Iterable[PreferenceRecord], path: Path, format: str = "canonical", media: MediaPlacing = "refer"
) -> int:
    """Write records as JSON lines in one of the layouts, and return how many there were.

    Raises:
        RecordError: naming the field that the layout cannot carry; and as `write_parquet`.
    """
    with atomic_path(path) as partial, open(partial, "w", encoding="utf-8") as out:
        count = 0
        for row in _rows(records, path, format, media):
            out.write(json.dumps(row, ensure_ascii=False, allow_nan=False, default=_data_address) + "\n")
            count += 1
    return count


def write_records(
    records: Iterable[PreferenceRecord], path: Path, format: str | None = None, media: MediaPlacing = "refer"
) -> int:
    """Write records to a file whose suffix says the container: `.jsonl`, `.json` or `.parquet`.

    Args:
        records: what to write.
        path: the file.
        format: the layout of the rows. None means `canonical`, which for Parquet is the store's own schema.
        media: what becomes of media files.

    Returns:
        How many records were written.

    Raises:
        PrefalignError: for another suffix.
        RecordError: naming the field that the layout cannot carry; and as `write_parquet`.
    """
    chosen = format or "canonical"
    if path.suffix == ".jsonl":
        return write_jsonl(records, path, chosen, media)
    if path.suffix == ".json":
        rows = _rows(records, path, chosen, media)
        return _write_json_array(rows, path)
    if path.suffix == ".parquet":
        if chosen == "canonical":
            return write_parquet(records, path, media)
        with atomic_path(path) as partial:
            return _write_groups(_rows(records, path, chosen, media), partial, None)
    raise PrefalignError(f"{path.name}: expected a name ending in .jsonl, .json or .parquet")


def _rows(
    records: Iterable[PreferenceRecord], path: Path, format: str, media: MediaPlacing
) -> Iterator[dict[str, Any]]:
    layout = get_layout(format)
    return (write_row(layout, record) for record in _checked(records, path.parent, media))


def _checked(records: Iterable[PreferenceRecord], folder: Path, media: MediaPlacing) -> Iterator[PreferenceRecord]:
    """The records with their media placed, after a look at their ids."""
    place = MediaPlacer(folder, media)
    seen: set[str] = set()
    for record in records:
        if record.id in seen:
            raise RecordError("the id stands twice among the records to be written", field="id", record_id=record.id)
        seen.add(record.id)
        yield place(record)


def _write_json_array(rows: Iterable[dict[str, Any]], path: Path) -> int:
    with atomic_path(path) as partial, open(partial, "w", encoding="utf-8") as out:
        count = 0
        for row in rows:
            out.write("[\n" if not count else ",\n")
            out.write(json.dumps(row, ensure_ascii=False, allow_nan=False, default=_data_address))
            count += 1
        out.write("\n]\n" if count else "[]\n")
    return count


def _data_address(value: Any) -> str:
    if isinstance(value, bytes):
        return "data:application/octet-stream;base64," + base64.b64encode(value).decode("ascii")
    raise expected("a plain JSON value", value, "row")


def _write_groups(rows: Iterable[dict[str, Any]], path: Path, schema: pa.Schema | None) -> int:
    """Write rows in row groups of bounded size; without a schema, the first group's inferred one holds for all."""
    count = 0
    writer: pq.ParquetWriter | None = None
    try:
        for group in _groups(rows):
            try:
                table = pa.Table.from_pylist(group, schema=schema)
            except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
                problem = f"the rows do not agree on the types of their columns: {str(error).splitlines()[0]}"
                raise RecordError(problem, field="row", record_id=str(group[0].get("id"))) from None
            schema = table.schema
            writer = writer or pq.ParquetWriter(path, schema, compression="zstd")
            writer.write_table(table)
            count += len(group)
        if writer is None:
            writer = pq.ParquetWriter(path, schema if schema is not None else pa.schema([]), compression="zstd")
    finally:
        if writer is not None:
            writer.close()
    return count


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        group.append(row)
        size += _weight(row)
        if len(group) >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _weight(value: Any) -> int:
    """Roughly the bytes that a value takes."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_weight, value.values()))
    return sum(map(_weight, value)) if isinstance(value, list) else 8
