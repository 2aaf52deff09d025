"""TRL's rows: preference and unpaired preference, standard or of turns, with or without pictures and a prompt column.

They are flat rows that may have any further columns, which go to `provenance`. An assistant's `tool_calls` are refused:
a message holds text and media only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefalign.data.formats.flat import TRL_COLUMNS, has_form, read_flat, write_flat
from prefalign.data.formats.layout import Layout, columns_of
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import PreferenceRecord


def _matches(row: Mapping[str, Any]) -> bool:
    alpaca = row.get("instruction") is not None and row.get("prompt") is None
    return has_form(row) and not isinstance(row.get("chosen"), Mapping) and not alpaca


def read_trl(row: Mapping[str, Any], fallback_id: str) -> PreferenceRecord:
    """The record of a row of TRL's."""
    return read_flat(row, fallback_id, strict=False)


def write_trl(record: PreferenceRecord) -> dict[str, Any]:
    """TRL's row of a record, with its id as a further column."""
    row = write_flat(record)
    if "responses" in row:
        raise RecordError("TRL's rows are a pair or one labelled completion", field="verdict")
    provenance = row.pop("provenance", {})
    if "ref_KL_logps" in provenance:
        row["ref_KL_logps"] = provenance["ref_KL_logps"]
    conditions = row.pop("conditions", {})
    for name in ("tools", "chat_template_kwargs"):
        if name in conditions:
            row[name] = conditions[name]
    for name in ("chosen", "rejected", "completion", "reference"):
        if isinstance(row.get(name), dict):
            raise RecordError("TRL's responses are text or turns and nothing else", field=name)
    return columns_of(record) | {name: value for name, value in row.items() if name in TRL_COLUMNS}


TRL = Layout(
    name="trl",
    summary="TRL: prompt, chosen, rejected, or prompt, completion, label; text or turns; images; margin; ref_*_logps",
    matches=_matches,
    read=read_trl,
    write=write_trl,
)
