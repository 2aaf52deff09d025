"""Other libraries' layouts, and how the layout of a file is found out.

To add a layout, write its module and add it to `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefalign.data.canonical import record_from_dict, record_to_dict
from prefalign.data.fields import near_names
from prefalign.data.formats.align_anything import ALIGN_ANYTHING
from prefalign.data.formats.conversations import CONVERSATIONS
from prefalign.data.formats.flat import FLAT, FLAT_COLUMNS
from prefalign.data.formats.imitation import IMITATION
from prefalign.data.formats.layout import Layout
from prefalign.data.formats.llamafactory import LLAMAFACTORY
from prefalign.data.formats.pickapic import PICKAPIC
from prefalign.data.formats.swift import SWIFT
from prefalign.data.formats.trl import TRL
from prefalign.data.rows import Rows
from prefalign.interfaces.errors import RecordError, unknown_name

CANONICAL = Layout(
    name="canonical",
    summary="every field of a record, nested as in its classes; the form of the Parquet store",
    matches=lambda row: isinstance(row.get("verdict"), Mapping) and row.get("responses") is not None,
    read=lambda row, fallback_id: record_from_dict(row if row.get("id") is not None else {**row, "id": fallback_id}),
    write=record_to_dict,
    exact=True,
)

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        *(CANONICAL, FLAT, TRL, LLAMAFACTORY, SWIFT),
        *(CONVERSATIONS, ALIGN_ANYTHING, PICKAPIC, IMITATION),
    )
}

_LOOK_AT = 100
"""Rows that are looked at to find the layout, should the first ones be damaged."""


def get_layout(name: str) -> Layout:
    """The layout called `name`.

    Raises:
        PrefalignError: for an unknown name, with near ones.
    """
    if name not in LAYOUTS:
        raise unknown_name("format", name, LAYOUTS)
    return LAYOUTS[name]


def detect_layout(rows: Rows) -> Layout:
    """The one layout that the first readable row is of.

    Raises:
        RecordError: if it is of none, or of several.
    """
    first: RecordError | None = None
    for index in range(min(len(rows), _LOOK_AT)):
        try:
            row = rows.row(index)
        except RecordError as error:
            first = first or error.located(rows.place(index))
            continue
        found = [layout for layout in LAYOUTS.values() if layout.matches(row)]
        if FLAT in found and TRL in found:
            found.remove(TRL)  # a row with no foreign column reads the same either way
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            names = " and ".join(repr(layout.name) for layout in found)
            problem = f"the columns fit the formats {names}; say which with format="
            raise RecordError(problem, field="row", where=rows.place(index))
        first = first or _no_layout(row, rows.place(index))
    raise first or RecordError("no row can be read", field="row")


def _no_layout(row: Mapping[str, Any], place: str) -> RecordError:
    names = [name for name, value in row.items() if value is not None]
    slips = [(name, near[0]) for name in names if name not in FLAT_COLUMNS and (near := near_names(name, FLAT_COLUMNS))]
    hint = "".join(f"; is {name!r} meant to be {near!r}?" for name, near in slips)
    columns = ", ".join(map(repr, names[:12])) or "none"
    problem = f"the columns {columns} are of no known format{hint}; known formats: {', '.join(LAYOUTS)}"
    return RecordError(problem, field="row", where=place)
