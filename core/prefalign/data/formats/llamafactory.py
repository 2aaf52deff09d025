"""LLaMA-Factory's rows: ranking and KTO sets, in its sharegpt, openai and alpaca forms.

The names of columns and of turns' keys can be changed by an entry of `dataset_info.json` beside the file, which is read
where it names the file. `<image>`, `<video>` and `<audio>` in a text are placeholders, one for each medium of the kind.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefalign.data.canonical import build_prompt, plain
from prefalign.data.fields import Fields, as_flag, as_list, expected
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
from prefalign.data.formats.flat import read_id
from prefalign.data.formats.layout import Layout, columns_of, pair_of, provenance_of
from prefalign.interfaces.errors import PrefalignError, RecordError
from prefalign.interfaces.record import Media, Message, PreferenceRecord, Response
from prefalign.interfaces.verdict import Pair, Unary, Verdict

INFO_FILE = "dataset_info.json"

_CHAT = frozenset({"id", "system", "tools", "chosen", "rejected", "kto_tag", *KINDS})
_ALPACA = _CHAT | {"instruction", "input", "output", "history"}
_TAGS = ("user_tag", "assistant_tag", "observation_tag", "function_tag", "system_tag")
_ROLES = ("user", "assistant", "observation", "function_call", "system")
_WORDS = ("human", "gpt", "observation", "function_call", "system")


def _matches(row: Mapping[str, Any]) -> bool:
    pair = isinstance(row.get("chosen"), Mapping) and isinstance(row.get("rejected"), Mapping)
    if row.get("conversations") is not None:
        return (pair or row.get("kto_tag") is not None) and row.get("rejected_conversations") is None
    if row.get("messages") is not None:
        return (pair and "role" in row["chosen"]) or row.get("kto_tag") is not None
    texts = row.get("chosen") is not None and row.get("rejected") is not None and row.get("prompt") is None
    return row.get("instruction") is not None and (texts or row.get("kto_tag") is not None)


def read_llamafactory(row: Mapping[str, Any], fallback_id: str, sharegpt: Dialect = SHAREGPT) -> PreferenceRecord:
    """The record of a row of LLaMA-Factory's.

    Args:
        row: the row, under the default names of columns.
        fallback_id: id where the row has none.
        sharegpt: how turns under `conversations` are spelled.
    """
    fields = Fields(row)
    name = next((n for n in ("conversations", "messages") if n in fields), None)
    inline: list[Media] = []
    if name is None:
        known, dialect = _ALPACA, TAGGED
        messages = _alpaca_messages(fields)
    else:
        known, dialect = _CHAT | {name}, sharegpt if name == "conversations" else TAGGED
        messages, inline = read_messages(fields.get(name), name, dialect)
    system = fields.maybe_text("system")
    if system:
        if messages[:1] and messages[0].role == "system":
            raise RecordError("a system prompt stands in the turns and in a column of its own", field="system")
        messages = (Message("system", (system,)), *messages)
    responses, messages, verdict = _read_responses(fields, messages, dialect)
    pools, where = read_pools(fields), name or "instruction"
    shared = order_media(messages, inline, pools, where)
    if len(shared) != len(slots_of(messages)):
        raise RecordError("there are media, and no placeholder in the turns", field=where)
    conditions = {"tools": plain(fields.get("tools"), "tools")} if fields.get("tools") else {}
    return PreferenceRecord(
        id=read_id(fields, fallback_id),
        prompt=build_prompt(where, messages=messages, media=shared, conditions=conditions),
        responses=responses,
        verdict=verdict,
        provenance=provenance_of(fields, known),
    )


def _alpaca_messages(fields: Fields) -> tuple[Message, ...]:
    turns = []
    for path, value in fields.items("history"):
        if len(as_list(value, path)) != 2:
            raise expected("[question, answer]", value, path)
        turns += [{"role": role, "content": text} for role, text in zip(("user", "assistant"), value, strict=True)]
    question = "\n".join(text for text in (fields.text("instruction"), fields.maybe_text("input")) if text)
    if "output" in fields:
        answer = [{"role": "assistant", "content": fields.text("output")}]
    else:
        answer = []
    return read_messages([*turns, {"role": "user", "content": question}, *answer], "instruction", TAGGED)[0]


def _read_responses(
    fields: Fields, messages: tuple[Message, ...], dialect: Dialect
) -> tuple[tuple[Response, ...], tuple[Message, ...], Verdict]:
    """Responses, the turns before them, and the verdict."""
    if "kto_tag" in fields:
        if not messages or messages[-1].role == "user":
            raise RecordError("expected the answer as the last turn", field="conversations")
        answer = chat_response(messages[-1:], (), "conversations")
        return (answer,), messages[:-1], Unary((as_flag(fields.get("kto_tag"), "kto_tag"),))
    answers = []
    for name in ("chosen", "rejected"):
        value = fields.need(name, "one turn, or text")
        turn = {dialect.role: "assistant", dialect.content: value} if isinstance(value, str) else value
        words = dialect if not isinstance(value, str) else dataclasses.replace(dialect, roles=None)
        if not isinstance(turn, Mapping):
            raise expected("one turn, or text", value, name)
        try:
            answers.append(chat_response(*read_messages([turn], name, words), name))
        except RecordError as error:
            raise RecordError(error.problem, field=error.field.replace(f"{name}[0]", name)) from error
        if answers[-1].messages[0].role not in ("assistant", "function_call"):
            raise expected("a turn of the assistant", answers[-1].messages[0].role, f"{name}.{dialect.role}")
    return tuple(answers), messages, Pair()


def write_llamafactory(record: PreferenceRecord) -> dict[str, Any]:
    """The row of a record in LLaMA-Factory's sharegpt form, under the default names."""
    row: dict[str, Any] = {**columns_of(record), "id": record.id}
    prompt = record.prompt
    row["conversations"] = write_messages(turns_of(prompt, "prompt"), SHAREGPT)
    if isinstance(record.verdict, Unary) and len(record.responses) == 1:
        row["conversations"] += write_messages(turns_of(record.responses[0], "responses[0]"), SHAREGPT)
        row["kto_tag"] = record.verdict.labels[0]
    else:
        for name, response in zip(("chosen", "rejected"), pair_of(record), strict=True):
            turns = write_messages(turns_of(response, name), SHAREGPT)
            if len(turns) != 1:
                raise RecordError("expected an answer of one turn", field=f"{name}.messages")
            row[name] = turns[0]
    if "tools" in prompt.conditions:
        row["tools"] = prompt.conditions["tools"]
    return row | write_pools(prompt.media)


LLAMAFACTORY = Layout(
    name="llamafactory",
    summary="LLaMA-Factory: conversations, chosen, rejected or kto_tag; images, videos, audios; also its alpaca form",
    matches=_matches,
    read=read_llamafactory,
    write=write_llamafactory,
)


def described_layout(path: Path) -> Layout | None:
    """The layout that `dataset_info.json` beside a file states for it; None if it says nothing of the file.

    Raises:
        PrefalignError: for a description that is broken, or of a set without preferences.
    """
    info = path.parent / INFO_FILE
    if not info.is_file() or info == path:
        return None
    try:
        entries = json.loads(info.read_text(encoding="utf-8"))
        named = [e for e in entries.values() if isinstance(e, Mapping) and e.get("file_name") == path.name]
    except (ValueError, AttributeError) as error:
        raise PrefalignError(f"{INFO_FILE}: expected an object of descriptions: {error}") from None
    if not named:
        return None
    entry = named[0]
    stated = {**(entry.get("columns") or {})}
    if not entry.get("ranking") and "kto_tag" not in stated:
        raise PrefalignError(f"{INFO_FILE}: {path.name} is described neither as ranking nor with a kto_tag column")
    form = entry.get("formatting", "alpaca")
    theirs = {"prompt": "instruction", "query": "input", "response": "output", "messages": "conversations"}
    names = {str(column): theirs.get(role, role) for role, column in stated.items()}
    tags = entry.get("tags") or {}
    words = [str(tags.get(tag, word)) for tag, word in zip(_TAGS, _WORDS, strict=True)]
    dialect = Dialect(
        role=str(tags.get("role_tag", "from")),
        content=str(tags.get("content_tag", "value")),
        roles=dict(zip(words, _ROLES, strict=True)),
        tags=True,
    )

    def read(row: Mapping[str, Any], fallback_id: str) -> PreferenceRecord:
        renamed = {names.get(name, name): value for name, value in row.items()}
        if form == "alpaca":
            renamed.pop("conversations", None)
        return read_llamafactory(renamed, fallback_id, dialect)

    return dataclasses.replace(LLAMAFACTORY, matches=lambda row: True, read=read)
