"""Pairs of whole conversations: `conversations` and `rejected_conversations`, in the sharegpt spelling of turns.

So LLaVA-style sets are spelled, such as UnifiedReward's and SynthAlign's; `chosen_conversations` and turns of `role`
and `content` are taken as well. What both conversations begin with is the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefalign.data.canonical import build_prompt
from prefalign.data.fields import Fields
from prefalign.data.formats.chat import (
    KINDS,
    SHAREGPT,
    TAGGED,
    Dialect,
    chat_response,
    order_media,
    read_messages,
    read_pools,
    slots_of,
    turns_of,
    write_messages,
    write_pools,
)
from prefalign.data.formats.flat import common_prefix, read_id
from prefalign.data.formats.layout import Layout, columns_of, pair_of, provenance_of
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import PreferenceRecord
from prefalign.interfaces.verdict import Pair

_CHOSEN = ("conversations", "chosen_conversations")
_REJECTED = "rejected_conversations"
_COLUMNS = frozenset({"id", *_CHOSEN, _REJECTED, *KINDS, *KINDS.values()})


def _matches(row: Mapping[str, Any]) -> bool:
    return row.get(_REJECTED) is not None and any(row.get(name) is not None for name in _CHOSEN)


def read_conversations(row: Mapping[str, Any], fallback_id: str) -> PreferenceRecord:
    """The record of a row of two conversations."""
    fields = Fields(row)
    name = _CHOSEN[1] if _CHOSEN[1] in fields else _CHOSEN[0]
    first, media_of_first = read_messages(fields.need(name, "turns"), name, _dialect(fields.get(name)))
    second, media_of_second = read_messages(fields.get(_REJECTED), _REJECTED, _dialect(fields.get(_REJECTED)))
    if media_of_first or media_of_second:
        raise RecordError("expected placeholders in the text, and media in columns of their own", field=name)
    cut = common_prefix(first, second)
    if not cut:
        raise RecordError("the conversations have no turn in common to begin with", field=_REJECTED)
    media = order_media(first[:cut], (), read_pools(fields), name)
    if len(media) != len(slots_of(first[:cut])):
        raise RecordError("there are media, and no placeholder in the turns", field=name)
    return PreferenceRecord(
        id=read_id(fields, fallback_id),
        prompt=build_prompt(name, messages=first[:cut], media=media),
        responses=(chat_response(first[cut:], (), name), chat_response(second[cut:], (), _REJECTED)),
        verdict=Pair(),
        provenance=provenance_of(fields, _COLUMNS),
    )


def _dialect(turns: Any) -> Dialect:
    chatml = isinstance(turns, list) and turns and isinstance(turns[0], Mapping) and turns[0].get("role") is not None
    return TAGGED if chatml else SHAREGPT


def write_conversations(record: PreferenceRecord) -> dict[str, Any]:
    """The row of a record as two conversations."""
    asked = turns_of(record.prompt, "prompt")
    chosen, rejected = (turns_of(response, "responses") for response in pair_of(record))
    return {
        **columns_of(record),
        "id": record.id,
        **write_pools(record.prompt.media),
        "conversations": write_messages((*asked, *chosen), SHAREGPT),
        _REJECTED: write_messages((*asked, *rejected), SHAREGPT),
    }


CONVERSATIONS = Layout(
    name="rejected_conversations",
    summary="LLaVA-style sets (UnifiedReward, SynthAlign): conversations and rejected_conversations; image, images",
    matches=_matches,
    read=read_conversations,
    write=write_conversations,
)
