"""What a layout is: how one library spells a preference as a row of named columns."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefalign.data.fields import Fields, near_names
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import PreferenceRecord, Response, same_arrays
from prefalign.interfaces.verdict import Pair

COLUMNS_KEY = "columns"
"""Under this key of `provenance` a record keeps the columns of its row that have no field of their own."""


@dataclass(frozen=True)
class Layout:
    """One spelling of records as rows.

    Attributes:
        name: what `format=` calls it.
        summary: one line for listings.
        matches: whether a row's columns are this layout's; decided by columns that no other layout has.
        read: the record of a row, given the id to use where the row brings none.
        write: the row of a record, or None where rows of this layout are only read. It may leave out what the layout
            has no place for: `write_row` notices.
        exact: whether `write` keeps every field of every record, so that `write_row` need not look.
    """

    name: str
    summary: str
    matches: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any], str], PreferenceRecord]
    write: Callable[[PreferenceRecord], dict[str, Any]] | None = None
    exact: bool = False


def write_row(layout: Layout, record: PreferenceRecord) -> dict[str, Any]:
    """The row of a record in a layout that can carry all of it.

    The row is read back and compared, so that nothing is lost whatever the writer forgot.

    Raises:
        RecordError: naming the first field that the layout cannot carry.
    """
    if layout.write is None:
        raise RecordError(f"rows of layout {layout.name!r} are read and not written", field="format")
    try:
        row = layout.write(record)
        if layout.exact or (found := layout.read(row, record.id)) == record:
            return row
        field, problem = first_difference(found, record) or "row", "has no place for this value"
    except RecordError as error:
        field, problem = error.field, f"cannot express this record: {error.problem}"
    remedy = "the layouts 'canonical' and Parquet carry every field"
    raise RecordError(f"layout {layout.name!r} {problem}; {remedy}", field=field, record_id=record.id)


def first_difference(first: Any, second: Any, path: str = "") -> str | None:
    """Dotted name of the first field in which two records differ; None if they are equal."""
    if dataclasses.is_dataclass(first) and type(first) is type(second):
        names = [field.name for field in dataclasses.fields(first)]
        pairs = ((f"{path}.{n}" if path else n, getattr(first, n), getattr(second, n)) for n in names)
    elif isinstance(first, tuple) and isinstance(second, tuple) and len(first) == len(second):
        pairs = ((f"{path}[{i}]", a, b) for i, (a, b) in enumerate(zip(first, second, strict=True)))
    elif isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return None if same_arrays({"": first}, {"": second}) else path
    elif isinstance(first, Mapping) and isinstance(second, Mapping):
        if set(first) != set(second):
            return f"{path}.{min(set(first) ^ set(second))}"
        pairs = ((f"{path}.{k}", first[k], second[k]) for k in first)
    else:
        return None if first == second else path
    for name, a, b in pairs:
        if (found := first_difference(a, b, name)) is not None:
            return found
    return None


def pair_of(record: PreferenceRecord) -> tuple[Response, Response]:
    """Chosen and rejected, for layouts that know nothing but a plain pair.

    Raises:
        RecordError: for any other verdict, and for responses in another order, which such a layout cannot say.
    """
    verdict = record.verdict
    if not isinstance(verdict, Pair) or len(record.responses) != 2:
        raise RecordError(f"expected a pair, got a {type(verdict).__name__.lower()}", field="verdict")
    if (verdict.chosen, verdict.rejected) != (0, 1):
        raise RecordError("expected the chosen response first", field="verdict.chosen")
    return record.responses[0], record.responses[1]


def provenance_of(row: Fields, known: Iterable[str]) -> dict[str, Any]:
    """`provenance` with the columns that the layout does not know, so that reading loses nothing.

    Args:
        row: the row.
        known: the layout's columns.

    Raises:
        RecordError: where an unknown column resembles a known one that the row lacks: that is a slip, not a fact.
    """
    known = frozenset(known)
    extra = {name: jsonable(row.value[name], row.at(name)) for name in row if name not in known}
    missing = [name for name in known if name not in row]
    for name in extra:
        if near_names(name, missing):
            raise row.unknown(name, missing, "")
    return {COLUMNS_KEY: extra} if extra else {}


def columns_of(record: PreferenceRecord) -> dict[str, Any]:
    """The columns that `provenance_of` kept, to be written back."""
    kept = record.provenance.get(COLUMNS_KEY)
    return dict(kept) if isinstance(kept, Mapping) else {}


def jsonable(value: Any, path: str) -> Any:
    """A column's value as plain JSON: times become ISO text, bytes base64, and NaN and infinities their names."""
    if isinstance(value, Mapping):
        return {str(k): jsonable(v, f"{path}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(v, f"{path}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist(), path)
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)
