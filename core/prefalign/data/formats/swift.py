"""ms-swift's rows: `messages` whose last turns are the chosen answer, and what differs in the rejected one.

`rejected_response` replaces what follows the last turn of the user, `rejected_messages` the whole conversation, and
`rejected_images`, `rejected_videos` and `rejected_audios` the media, so that a pair may differ in its picture alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefalign.data.canonical import build_prompt, plain
from prefalign.data.fields import Fields, as_flag, expected
from prefalign.data.formats.chat import (
    KINDS,
    TAGGED,
    chat_response,
    order_media,
    read_messages,
    read_pools,
    slots_of,
    turns_of,
    write_messages,
    write_pools,
)
from prefalign.data.formats.flat import read_id
from prefalign.data.formats.layout import Layout, columns_of, pair_of, provenance_of
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import Media, Message, PreferenceRecord, Prompt, Response
from prefalign.interfaces.verdict import Pair, Unary

_REJECTED = ("rejected_response", "rejected_messages", *(f"rejected_{plural}" for plural in KINDS))
_CONDITIONS = ("tools", "chat_template_kwargs")
COLUMNS = frozenset({"id", "messages", "label", "margin", *_CONDITIONS, *KINDS, *KINDS.values(), *_REJECTED})


def _matches(row: Mapping[str, Any]) -> bool:
    if row.get("messages") is None:
        return False
    return row.get("label") is not None or any(row.get(name) is not None for name in _REJECTED)


def read_swift(row: Mapping[str, Any], fallback_id: str) -> PreferenceRecord:
    """The record of a row of ms-swift's."""
    fields = Fields(row)
    conditions = {n: plain(fields.get(n), n) for n in _CONDITIONS if n in fields}
    prompt, chosen = _conversation(fields, "messages", read_pools(fields), conditions)
    common: dict[str, Any] = {
        "id": read_id(fields, fallback_id),
        "prompt": prompt,
        "margin": fields.maybe_number("margin"),
        "provenance": provenance_of(fields, COLUMNS),
    }
    if not any(name in fields for name in _REJECTED):
        label = as_flag(fields.need("label", "true or false"), "label")
        return PreferenceRecord(**common, responses=(chosen,), verdict=Unary((label,)))
    if "label" in fields:
        raise RecordError("a row is a pair or has a label, not both", field="label")
    rejected = _read_rejected(fields, prompt, chosen, conditions)
    return PreferenceRecord(**common, responses=(chosen, rejected), verdict=Pair())


def _read_rejected(fields: Fields, prompt: Prompt, chosen: Response, conditions: dict[str, Any]) -> Response:
    own = read_pools(fields, "rejected_")
    if "rejected_messages" in fields:
        if "rejected_response" in fields:
            raise RecordError("give either 'rejected_response' or 'rejected_messages'", field="rejected_messages")
        context, rejected = _conversation(fields, "rejected_messages", own, conditions)
        return rejected if context == prompt else _with_context(rejected, context)
    rejected = chosen
    if "rejected_response" in fields:
        value = fields.get("rejected_response")
        turns = [{"role": "assistant", "content": value}] if isinstance(value, str) else value
        rejected = chat_response(*read_messages(turns, "rejected_response", TAGGED), "rejected_response")
        if any(message.role == "user" for message in rejected.messages):
            raise RecordError("expected no turn of the user in an answer", field="rejected_response")
    if not own:
        return rejected
    pools = {**read_pools(fields), **own}
    media = order_media(prompt.messages, (), pools, "messages")
    context = build_prompt("messages", messages=prompt.messages, media=media, conditions=conditions)
    return rejected if context == prompt else _with_context(rejected, context)


def _with_context(response: Response, context: Prompt) -> Response:
    return Response(messages=response.messages, media=response.media, context=context)


def _conversation(
    fields: Fields, name: str, pools: Mapping[str, Sequence[Media]], conditions: dict[str, Any]
) -> tuple[Prompt, Response]:
    """Prompt and answer of a whole conversation: the answer is what follows the user's last turn."""
    messages, inline = read_messages(fields.get(name), name, TAGGED)
    start = max((i + 1 for i, message in enumerate(messages) if message.role == "user"), default=0)
    asked, answered = messages[:start], messages[start:]
    if not answered:
        raise expected("an answer behind the user's last turn", fields.get(name), name)
    if inline and slots_of(answered):
        raise RecordError("expected no media in the answer", field=name)
    if slots_of(asked) and not inline:
        media = order_media(asked, (), pools, name)
    else:  # without placeholders, media stand before the text
        media = order_media((), (), pools, name) if not inline else order_media(asked, inline, pools, name)
    prompt = build_prompt(name, messages=asked, media=media, conditions=conditions)
    return prompt, chat_response(answered, (), name)


def write_swift(record: PreferenceRecord) -> dict[str, Any]:
    """The row of a record in ms-swift's layout."""
    row: dict[str, Any] = {**columns_of(record), "id": record.id, **write_pools(record.prompt.media)}
    row |= {name: record.prompt.conditions[name] for name in _CONDITIONS if name in record.prompt.conditions}
    if record.margin is not None:
        row["margin"] = record.margin
    asked = turns_of(record.prompt, "prompt")
    if isinstance(record.verdict, Unary) and len(record.responses) == 1:
        return row | {"messages": _turns(asked, record.responses[0]), "label": record.verdict.labels[0]}
    chosen, rejected = pair_of(record)
    row["messages"] = _turns(asked, chosen)
    if rejected.context is None:
        row["rejected_response"] = write_messages(turns_of(rejected, "rejected"), TAGGED)
        if len(rejected.messages) == 1 and rejected.messages[0].role == "assistant":
            row["rejected_response"] = row["rejected_response"][0]["content"]
        return row
    row["rejected_messages"] = _turns(rejected.context.messages, rejected)
    return row | write_pools(rejected.context.media, "rejected_")


def _turns(asked: Sequence[Message], response: Response) -> list[dict[str, Any]]:
    return write_messages((*asked, *turns_of(response, "responses")), TAGGED)


SWIFT = Layout(
    name="swift",
    summary="ms-swift: messages with rejected_response, rejected_messages or rejected_images, or with a label; margin",
    matches=_matches,
    read=read_swift,
    write=write_swift,
)
