"""Arrow and Parquet columns as matrices of numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from prefalign_robotics.segments.errors import SegmentError

DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What Arrow raises over damaged files."""


def matrix(column: pa.Array | pa.ChunkedArray, place: str) -> np.ndarray:
    """(rows,) numbers of a plain column, or (rows, n) those of a column of lists of one length.

    Args:
        column: of numbers, or of lists of them, fixed in size or not.
        place: how messages call it.

    Raises:
        SegmentError: for gaps, lists of different lengths, and whatever is no number or is nested deeper.
    """
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = values.type
    if values.null_count:
        raise SegmentError(f"{place}: row {np.flatnonzero(pc.is_null(values))[0]} is empty; expected numbers")
    if _is_number(kind):
        return np.asarray(values.to_numpy(zero_copy_only=False))
    if not _is_list(kind) or not _is_number(kind.value_type):
        raise SegmentError(f"{place}: expected numbers or lists of numbers, no pictures or texts, got {kind}")
    lengths = np.unique(pc.list_value_length(values).to_numpy(zero_copy_only=False))
    if len(lengths) > 1:
        raise SegmentError(f"{place}: expected lists of one length, got {lengths[0]} to {lengths[-1]} numbers")
    flat = values.flatten()
    if flat.null_count:
        raise SegmentError(f"{place}: there are gaps between its numbers")
    width = kind.list_size if pa.types.is_fixed_size_list(kind) else int(lengths.max(initial=0))
    return np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(len(values), width)


def read_table(path: Path) -> pa.Table:
    """A whole file: Parquet by its ending, else Arrow, as a file or as a stream.

    Raises:
        SegmentError: for a damaged file.
    """
    try:
        found = pq.ParquetFile(path).read() if path.suffix == ".parquet" else _read_ipc(path)
        check_table(found)
    except DAMAGE as error:
        raise SegmentError(f"{path}: damaged ({error})") from None
    return found


def check_table(table: pa.Table) -> None:
    """Refuse a table whose offsets, texts or names are damaged, before anything follows them.

    Raises:
        One of `DAMAGE`.
    """
    table.validate(full=True)
    fields = list(table.schema)
    for field in fields:
        str(field.name)  # is decoded as it is asked for
        fields += [field.type.field(number) for number in range(field.type.num_fields)]


def _read_ipc(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        try:
            return pyarrow.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            return pyarrow.ipc.open_stream(source).read_all()


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
