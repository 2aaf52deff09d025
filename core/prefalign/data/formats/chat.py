"""Chat turns and media placeholders, as the chat layouts have them in common."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefalign.data.fields import Fields, as_list, as_text, expected
from prefalign.data.media import read_media, write_media
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import Media, Message, PreferenceRecord, Prompt, Response, Slot

KINDS = {"images": "image", "videos": "video", "audios": "audio"}
"""Media columns, in the order in which media without a placeholder stand before the text."""

_TAG = re.compile(r"<(image|video|audio)>")


@dataclass(frozen=True)
class Dialect:
    """How a layout spells a turn.

    Attributes:
        role, content: keys of a turn.
        roles: the layout's word for a role → ours; None if they are the same.
        tags: whether `<image>`, `<video>` and `<audio>` inside a text are placeholders.
    """

    role: str = "role"
    content: str = "content"
    roles: Mapping[str, str] | None = None
    tags: bool = False


CHATML = Dialect()
TAGGED = Dialect(tags=True)
SHAREGPT = Dialect(
    role="from",
    content="value",
    roles={
        "human": "user",
        "gpt": "assistant",
        "system": "system",
        "observation": "observation",
        "function_call": "function_call",
    },
    tags=True,
)


def read_messages(value: Any, path: str, dialect: Dialect = CHATML) -> tuple[tuple[Message, ...], list[Media]]:
    """Turns, and the media that stand inside them, in reading order."""
    inline: list[Media] = []
    turns = []
    for i, turn in enumerate(as_list(value, path)):
        row = Fields(turn, f"{path}[{i}]")
        if "tool_calls" in row:
            problem = "a call of a tool has no place in a turn; write it as text in a turn of role 'function_call'"
            raise RecordError(problem, field=row.at("tool_calls"))
        row.only((dialect.role, dialect.content))
        role = row.text(dialect.role)
        if dialect.roles is not None:
            if role not in dialect.roles:
                raise expected(f"one of {', '.join(dialect.roles)}", role, row.at(dialect.role))
            role = dialect.roles[role]
        content = row.need(dialect.content, "text or a list of parts")
        turns.append(Message(role, tuple(_parts(content, row.at(dialect.content), dialect, inline))))
    return tuple(turns), inline


def _parts(value: Any, path: str, dialect: Dialect, inline: list[Media]) -> Iterable[str | Slot]:
    if isinstance(value, str):
        yield from split_tags(as_text(value, path)) if dialect.tags else (as_text(value, path),)
        return
    for i, part in enumerate(as_list(value, path)):
        row = Fields(part, f"{path}[{i}]")
        kind = row.text("type")
        if kind == "text":
            row.only(("type", "text"))
            yield row.text("text")
        elif kind in KINDS.values():
            row.only(("type", kind))
            if kind in row:
                inline.append(read_media(row.get(kind), kind, row.at(kind)))
            yield Slot(kind)
        elif kind == "image_url":
            row.only(("type", "image_url"))
            url = row.get("image_url")
            inner = Fields(url, row.at("image_url")).text("url") if isinstance(url, Mapping) else url
            inline.append(read_media(inner, "image", row.at("image_url")))
            yield Slot("image")
        else:
            raise expected(f"one of text, {', '.join(KINDS.values())}", kind, row.at("type"))


def split_tags(text: str) -> tuple[str | Slot, ...]:
    """Text cut at its placeholders."""
    pieces = _TAG.split(text)  # text and kinds of placeholders alternate
    parts = (Slot(piece) if i % 2 else piece for i, piece in enumerate(pieces))
    return tuple(part for part in parts if part != "") or ("",)


def join_tags(content: Sequence[str | Slot]) -> str:
    """Text with placeholders, the inverse of `split_tags`."""
    return "".join(part if isinstance(part, str) else f"<{part.kind}>" for part in content)


def write_messages(messages: Sequence[Message], dialect: Dialect = CHATML) -> list[dict[str, Any]]:
    """Turns in a layout's spelling; a role that the layout has no word for is kept as it is."""
    words = {ours: theirs for theirs, ours in (dialect.roles or {}).items()}
    return [
        {dialect.role: words.get(m.role, m.role), dialect.content: _write_content(m.content, dialect)} for m in messages
    ]


def _write_content(content: Sequence[str | Slot], dialect: Dialect) -> Any:
    if dialect.tags:
        return join_tags(content)
    if len(content) == 1 and isinstance(content[0], str):
        return content[0]
    return [{"type": "text", "text": p} if isinstance(p, str) else {"type": p.kind} for p in content]


def read_pools(row: Fields, prefix: str = "") -> dict[str, list[Media]]:
    """The media columns by kind, such as `images`, or `image` for a single one."""
    pools: dict[str, list[Media]] = {}
    for plural, kind in KINDS.items():
        names = [name for name in (f"{prefix}{plural}", f"{prefix}{kind}") if name in row]
        if len(names) == 2:
            raise RecordError(f"give either {names[0]!r} or {names[1]!r}, not both", field=row.at(names[1]))
        if names:
            value = row.get(names[0])
            listed = value if isinstance(value, list | tuple) else [value]
            pools[kind] = [read_media(v, kind, f"{row.at(names[0])}[{i}]") for i, v in enumerate(listed)]
    return pools


def write_pools(media: Iterable[Media], prefix: str = "") -> dict[str, list[Any]]:
    """The media columns of a list of media."""
    columns: dict[str, list[Any]] = {}
    plurals = {kind: plural for plural, kind in KINDS.items()}
    for medium in media:
        if medium.kind not in plurals:
            raise RecordError(f"the layout has no column for media of kind {medium.kind!r}", field="prompt.media")
        columns.setdefault(f"{prefix}{plurals[medium.kind]}", []).append(write_media(medium))
    return columns


def slots_of(messages: Iterable[Message]) -> list[str]:
    """Kinds of the placeholders in reading order."""
    return [part.kind for message in messages for part in message.content if isinstance(part, Slot)]


def order_media(
    messages: Sequence[Message], inline: Sequence[Media], pools: Mapping[str, Sequence[Media]], path: str
) -> tuple[Media, ...]:
    """The media in the order of their placeholders; without placeholders, kind by kind.

    Raises:
        RecordError: unless each kind has as many media as placeholders.
    """
    slots = slots_of(messages)
    if inline:
        if any(pools.values()):
            raise RecordError("media stand inside the messages and in columns of their own", field=path)
        return tuple(inline)
    if not slots:
        return tuple(medium for kind in KINDS.values() for medium in pools.get(kind, ()))
    for kind in KINDS.values():
        if slots.count(kind) != len(pools.get(kind, ())):
            counts = f"{slots.count(kind)} placeholders of kind {kind!r} and {len(pools.get(kind, ()))} media of it"
            raise RecordError(f"the messages have {counts}", field=path)
    sources = {kind: iter(media) for kind, media in pools.items()}
    return tuple(next(sources[kind]) for kind in slots)


def chat_response(messages: Sequence[Message], inline: Sequence[Media], path: str) -> Response:
    """A response of chat turns with the media that stand inside them."""
    if not messages:
        raise RecordError("expected at least one turn", field=path)
    slots = slots_of(messages)
    if not slots and not any(message.text.strip() for message in messages):
        raise RecordError("the response is empty", field=path)
    if len(slots) != len(inline):
        raise RecordError("a placeholder in a response needs its medium inside the same part", field=path)
    return Response(messages=tuple(messages), media=tuple(inline))


def as_chat(record: PreferenceRecord) -> PreferenceRecord:
    """The record with every text as one turn: prompts of the user, responses of the assistant.

    For layouts that know turns only. It changes what a model is given, since turns go through its chat template.
    """

    def prompt(found: Prompt) -> Prompt:
        if found.text is None:
            return found
        slots = tuple(Slot(medium.kind) for medium in found.media)  # media without a placeholder stand before the text
        return dataclasses.replace(found, text=None, messages=(Message("user", (*slots, found.text)),))

    def response(found: Response) -> Response:
        context = None if found.context is None else prompt(found.context)
        turns = found.messages if found.text is None else (Message("assistant", (found.text,)),)
        return dataclasses.replace(found, text=None, messages=turns, context=context)

    answer = record.reference_answer
    return dataclasses.replace(
        record,
        prompt=prompt(record.prompt),
        responses=tuple(map(response, record.responses)),
        reference_answer=None if answer is None else response(answer),
    )


def turns_of(said: Prompt | Response, path: str) -> tuple[Message, ...]:
    """The turns of a prompt or a response, for layouts that know nothing else."""
    if not said.messages:
        problem = "expected turns, got another form; text can be made turns of (as_chat, or convert --chat)"
        raise RecordError(problem, field=path)
    return said.messages
