"""Preferences over segments as a Parquet table beside the episodes, for data sets that know no preferences.

One row a pair, with the fields of `SegmentPair` as columns. A LeRobotDataset keeps its own files: the table names its
episodes by `episode_index` and its frames by their place in the episode.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prefalign.data.atomic import atomic_path
from prefalign_robotics.readers.arrow import DAMAGE, check_table
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.pairs import SegmentPair

_TEXT, _WHOLE, _NUMBER = pa.string(), pa.int64(), pa.float64()

SCHEMA = pa.schema(
    [
        pa.field("pair_id", _TEXT, nullable=False),
        pa.field("episode_index_a", _WHOLE, nullable=False),
        pa.field("start_a", _WHOLE, nullable=False),
        pa.field("episode_index_b", _WHOLE, nullable=False),
        pa.field("start_b", _WHOLE, nullable=False),
        pa.field("length", _WHOLE, nullable=False),
        pa.field("label", _NUMBER, nullable=False),
        pa.field("weight", _NUMBER, nullable=False),
        pa.field("annotator", _TEXT),
        pa.field("source", _TEXT, nullable=False),
        pa.field("confidence", _NUMBER),
    ],
    metadata={"label": "probability that segment b is better than segment a; 0.5 is a tie"},
)
_DEFAULTS: dict[str, Any] = {"weight": 1.0, "annotator": None, "source": "human", "confidence": None}
"""For columns that a table of others may lack."""


def write_preferences(path: Path | str, pairs: Sequence[SegmentPair]) -> None:
    """Write pairs to a table, whole or not at all.

    Raises:
        SegmentError: if there is no pair, or an id stands twice.
    """
    _refuse_twice(Path(path), pairs)
    table = pa.Table.from_pylist([asdict(pair) for pair in pairs], SCHEMA)
    with atomic_path(Path(path)) as partial:
        pq.write_table(table, partial)


def read_preferences(path: Path | str) -> list[SegmentPair]:
    """The pairs of a table in order; further columns are left aside.

    Raises:
        SegmentError: naming file, row and column, for a table that is absent, damaged or lacks columns, for values of
            another kind or out of range, and for ids that stand twice.
    """
    path = Path(path)
    table = _read(path)
    absent = [name for name in SCHEMA.names if name not in table.column_names and name not in _DEFAULTS]
    if absent:
        raise SegmentError(f"{path}: no column {absent[0]!r}; it holds {', '.join(table.column_names)}")
    columns = {name: _column(table, name, path) for name in SCHEMA.names}
    pairs = []
    for row, values in enumerate(zip(*columns.values(), strict=True)):
        try:
            pairs.append(SegmentPair(**dict(zip(columns, values, strict=True))))
        except SegmentError as error:
            raise SegmentError(f"{path}, row {row}: {error}") from None
    _refuse_twice(path, pairs)
    return pairs


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise SegmentError(f"{path}: no such file")
    try:
        # ParquetFile, since read_table makes data sets of folders and guesses columns from their names.
        with pq.ParquetFile(path) as file:
            found = file.read()
        check_table(found)
    except DAMAGE as error:
        raise SegmentError(f"{path}: damaged, or no Parquet file ({error})") from None
    return found


def _column(table: pa.Table, name: str, path: Path) -> list[Any]:
    if name not in table.column_names:
        return [_DEFAULTS[name]] * len(table)
    field, column = SCHEMA.field(name), table[name]
    kind = column.type
    # Whole numbers serve as ids and as labels; no other kind turns into another without a loss.
    fits = {
        _TEXT: pa.types.is_string(kind) or pa.types.is_large_string(kind),
        _WHOLE: pa.types.is_integer(kind),
        _NUMBER: pa.types.is_floating(kind) or pa.types.is_integer(kind),
    }[field.type]
    empty = pa.types.is_null(kind) and field.nullable
    if not (fits or empty or (name == "pair_id" and pa.types.is_integer(kind))):
        raise SegmentError(f"{path}: expected column {name!r} of {field.type}, got {kind}")
    try:
        values: list[Any] = column.cast(field.type).to_pylist()
    except pa.ArrowException as error:
        raise SegmentError(f"{path}: column {name!r} does not fit {field.type} ({error})") from None
    if not field.nullable and None in values:
        raise SegmentError(f"{path}, row {values.index(None)}: column {name!r} is empty")
    return values


def _refuse_twice(path: Path, pairs: Sequence[SegmentPair]) -> None:
    if not pairs:
        raise SegmentError(f"{path}: expected at least one pair, got none")
    pair_id, count = Counter(pair.pair_id for pair in pairs).most_common(1)[0]
    if count > 1:
        raise SegmentError(f"{path}: {count} pairs have the id {pair_id!r}; expected it once")
