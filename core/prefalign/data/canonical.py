"""The canonical form: a record as nested plain data that mirrors its classes field by field, and back.

Defaults are left out. JSON spells bytes in base64; the Parquet store keeps them as they are, and spells free-form
mappings (`conditions`, `provenance`) as JSON text, because Arrow wants to know types. `record_from_dict` reads both.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from prefalign.data.fields import Fields, as_flag, as_int, as_number, as_text, expected, inside
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import Media, Message, PreferenceRecord, Prompt, Response, Segment, Slot
from prefalign.interfaces.verdict import Group, Pair, Ranking, Unary, Verdict

RECORD_FIELDS = (
    *("id", "prompt", "responses", "verdict", "criteria", "margin", "weight", "annotator"),
    *("source", "reference_answer", "goal", "provenance"),
)
PROMPT_FIELDS = ("text", "messages", "media", "conditions")
RESPONSE_FIELDS = (
    *("text", "messages", "token_ids", "media", "arrays", "segments", "context", "scores", "ref_logp", "source"),
)
VERDICT_FIELDS = {
    "pair": ("chosen", "rejected", "probability", "tie"),
    "ranking": ("ranks",),
    "unary": ("labels",),
    "group": ("rewards",),
}


def record_to_dict(record: PreferenceRecord, *, binary: bool = False) -> dict[str, Any]:
    """The canonical form of a record.

    Args:
        record: what to write down.
        binary: the Parquet store's spelling: bytes stay bytes and free-form mappings become JSON text.

    Raises:
        RecordError: for arrays that are not numeric, or `conditions` and `provenance` that are not plain JSON values.
    """
    try:
        found = _Writer(binary).record(record)
    except RecordError as error:
        raise RecordError(error.problem, field=error.field, record_id=record.id) from error
    return found


def response_to_dict(response: Response, path: str) -> dict[str, Any]:
    """The canonical form of one response, with bytes in base64; errors name it `path`."""
    return _Writer(binary=False).response(response, path)


def record_from_dict(value: Any) -> PreferenceRecord:
    """The record that a canonical form describes; exactly inverse to `record_to_dict`.

    Raises:
        RecordError: naming the dotted field, what was expected and what was found.
    """
    row = Fields(value)
    name = row.text("id")
    try:
        row.only(RECORD_FIELDS, "facts of your own belong into 'provenance'")
        return PreferenceRecord(
            id=name,
            prompt=read_prompt(row.child("prompt")),
            responses=tuple(read_response(Fields(v, path)) for path, v in row.items("responses")),
            verdict=read_verdict(row.child("verdict")),
            criteria={key: read_verdict(Fields(v, path)) for key, path, v in row.members("criteria")},
            margin=row.maybe_number("margin"),
            weight=row.number("weight") if "weight" in row else 1.0,
            annotator=row.maybe_text("annotator"),
            source=row.maybe_text("source"),
            reference_answer=read_response(row.child("reference_answer")) if "reference_answer" in row else None,
            goal=read_numbers(row, "goal") if "goal" in row else None,
            provenance=read_mapping(row, "provenance"),
        )
    except RecordError as error:
        raise RecordError(error.problem, field=error.field, record_id=error.record_id or name) from error


def plain(value: Any, path: str) -> Any:
    """A copy of `value`, which must consist of JSON's values with finite numbers, or a RecordError."""
    if isinstance(value, Mapping):
        return {as_text(k, f"{path} (key)"): plain(v, f"{path}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v, f"{path}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, str):
        return as_text(value, path)
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise expected("a plain JSON value (text, finite number, true, false, null, list or object)", value, path)


class _Writer:
    """Writes records in one of the two spellings; holds nothing but the choice."""

    def __init__(self, binary: bool) -> None:
        self.binary = binary

    def record(self, record: PreferenceRecord) -> dict[str, Any]:
        answer = record.reference_answer
        return _without_defaults(
            {
                "id": record.id,
                "prompt": self.prompt(record.prompt, "prompt"),
                "responses": [self.response(r, f"responses[{i}]") for i, r in enumerate(record.responses)],
                "verdict": write_verdict(record.verdict),
                "criteria": self.named({name: write_verdict(v) for name, v in record.criteria.items()}),
                "margin": record.margin,
                "weight": None if record.weight == 1.0 else record.weight,
                "annotator": record.annotator,
                "source": record.source,
                "reference_answer": None if answer is None else self.response(answer, "reference_answer"),
                "goal": None if record.goal is None else list(record.goal),
                "provenance": self.mapping(record.provenance, "provenance"),
            },
            keep=("prompt", "goal"),
        )

    def prompt(self, prompt: Prompt, path: str) -> dict[str, Any]:
        return _without_defaults(
            {
                "text": prompt.text,
                "messages": [write_message(m) for m in prompt.messages],
                "media": [self.medium(m) for m in prompt.media],
                "conditions": self.mapping(prompt.conditions, f"{path}.conditions"),
            }
        )

    def response(self, response: Response, path: str) -> dict[str, Any]:
        context = response.context
        return _without_defaults(
            {
                "text": response.text,
                "messages": [write_message(m) for m in response.messages],
                "token_ids": None if response.token_ids is None else list(response.token_ids),
                "media": [self.medium(m) for m in response.media],
                "arrays": self.named({n: self.array(a, f"{path}.arrays.{n}") for n, a in response.arrays.items()}),
                "segments": [
                    {"start": s.start, "stop": s.stop, "weight": s.weight, "axis": s.axis} for s in response.segments
                ],
                "context": None if context is None else self.prompt(context, f"{path}.context"),
                "scores": self.named(response.scores),
                "ref_logp": response.ref_logp,
                "source": response.source,
            },
            keep=("token_ids", "context"),
        )

    def medium(self, medium: Media) -> dict[str, Any]:
        if medium.data is None:
            return {"kind": medium.kind, "path": medium.path}
        return {"kind": medium.kind, "data": self.content(medium.data)}

    def array(self, array: np.ndarray, path: str) -> dict[str, Any]:
        if array.dtype.kind not in "biufc":
            raise RecordError(f"expected a numeric array, got dtype {array.dtype}", field=path)
        return {"dtype": array.dtype.str, "shape": list(array.shape), "data": self.content(array.tobytes())}

    def content(self, data: bytes) -> bytes | str:
        return data if self.binary else base64.b64encode(data).decode("ascii")

    def named(self, values: Mapping[str, Any]) -> Any:
        return list(values.items()) if self.binary else dict(values)

    def mapping(self, mapping: Mapping[str, Any], path: str) -> Any:
        found = plain(mapping, path)
        return json.dumps(found, ensure_ascii=False) if self.binary and found else found


def _without_defaults(found: dict[str, Any], keep: tuple[str, ...] = ()) -> dict[str, Any]:
    """Drop what is absent. In `keep`, an empty value says something that an absent one does not."""
    return {k: v for k, v in found.items() if v is not None and (k in keep or v not in ([], {}))}


def write_message(message: Message) -> dict[str, Any]:
    """The canonical form of a chat turn."""
    parts = [{"text": part} if isinstance(part, str) else {"slot": part.kind} for part in message.content]
    return {"role": message.role, "content": parts}


def write_verdict(verdict: Verdict) -> dict[str, Any]:
    """The canonical form of a verdict."""
    if isinstance(verdict, Pair):
        found: dict[str, Any] = {"kind": "pair", "chosen": verdict.chosen, "rejected": verdict.rejected}
        return found | {"probability": verdict.probability, "tie": verdict.tie}
    if isinstance(verdict, Ranking):
        return {"kind": "ranking", "ranks": list(verdict.ranks)}
    if isinstance(verdict, Unary):
        return {"kind": "unary", "labels": list(verdict.labels)}
    return {"kind": "group", "rewards": list(verdict.rewards)}


def read_prompt(row: Fields) -> Prompt:
    """The prompt that a canonical form describes."""
    row.only(PROMPT_FIELDS, "other conditions belong into 'conditions'")
    return build_prompt(
        row.path,
        text=row.maybe_text("text"),
        messages=read_messages(row),
        media=tuple(read_medium(Fields(v, path)) for path, v in row.items("media")),
        conditions=read_mapping(row, "conditions"),
    )


def build_prompt(path: str, **values: Any) -> Prompt:
    """A prompt whose errors name the field `path` where they say `prompt`."""
    try:
        return Prompt(**values)
    except RecordError as error:
        raise RecordError(error.problem, field=path + error.field.removeprefix("prompt")) from error


def read_response(row: Fields) -> Response:
    """The response that a canonical form describes."""
    row.only(RESPONSE_FIELDS)
    ids = [as_int(v, path) for path, v in row.items("token_ids")]
    values: dict[str, Any] = {
        "text": row.maybe_text("text"),
        "messages": read_messages(row),
        "token_ids": tuple(ids) if "token_ids" in row else None,
        "media": tuple(read_medium(Fields(v, path)) for path, v in row.items("media")),
        "arrays": {name: read_array(Fields(v, path)) for name, path, v in row.members("arrays")},
        "segments": tuple(read_segment(v, path) for path, v in row.items("segments")),
        "context": read_prompt(row.child("context")) if "context" in row else None,
        "scores": {name: as_number(v, path) for name, path, v in row.members("scores")},
        "ref_logp": row.maybe_number("ref_logp"),
        "source": row.maybe_text("source"),
    }
    with inside(row.path):
        return Response(**values)


def read_messages(row: Fields) -> tuple[Message, ...]:
    """The chat turns under `messages`."""
    return tuple(_read_message(Fields(v, path)) for path, v in row.items("messages"))


def _read_message(row: Fields) -> Message:
    row.only(("role", "content"))
    return Message(row.text("role"), tuple(_read_part(Fields(v, path)) for path, v in row.items("content")))


def _read_part(row: Fields) -> str | Slot:
    row.only(("text", "slot"))
    if ("text" in row) == ("slot" in row):
        raise RecordError("a part of a message is either text or a slot", field=row.path)
    return row.text("text") if "text" in row else Slot(row.text("slot"))


def read_medium(row: Fields) -> Media:
    """The medium that a canonical form describes."""
    row.only(("kind", "path", "data"))
    data = read_bytes(row.get("data"), row.at("data")) if "data" in row else None
    if (data is None) == ("path" not in row):
        raise RecordError("a medium needs exactly one of path and data", field=row.path)
    return Media(kind=row.text("kind"), path=row.maybe_text("path"), data=data)


def read_bytes(value: Any, path: str) -> bytes:
    """Bytes as they are, or from base64."""
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(as_text(value, path), validate=True)
    except (binascii.Error, ValueError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"expected base64: {error}", field=path) from None


def read_array(row: Fields) -> np.ndarray:
    """An array from `dtype`, `shape` and `data`, or from `dtype` and nested `values` where a person wrote it.

    The result is a copy of its own that may be written to, so that `torch.from_numpy` takes it.
    """
    row.only(("dtype", "shape", "data", "values"))
    try:
        dtype = np.dtype(row.text("dtype"))
    except TypeError:
        raise expected("the name of a dtype, such as float32", row.get("dtype"), row.at("dtype")) from None
    if dtype.kind not in "biufc":
        raise expected("a numeric dtype", row.get("dtype"), row.at("dtype"))
    if "values" in row:
        try:
            return np.array(row.get("values"), dtype=dtype)
        except (ValueError, TypeError, OverflowError) as error:
            raise RecordError(f"expected numbers nested evenly: {error}", field=row.at("values")) from None
    shape = tuple(as_int(v, path) for path, v in row.items("shape"))
    data = read_bytes(row.need("data", "bytes"), row.at("data"))
    if min(shape, default=0) < 0 or len(data) != math.prod(shape) * dtype.itemsize:
        problem = f"expected the bytes of shape {shape} and dtype {dtype}, got {len(data)} bytes"
        raise RecordError(problem, field=row.at("data"))
    return np.ndarray(shape, dtype, buffer=data).copy() if data else np.empty(shape, dtype)


def read_segment(value: Any, path: str) -> Segment:
    """A segment from an object, or from `[start, stop, weight]` with an optional axis as fourth element."""
    if isinstance(value, list | tuple):
        if len(value) not in (3, 4):
            raise expected("[start, stop, weight] or [start, stop, weight, axis]", value, path)
        value = dict(zip(("start", "stop", "weight", "axis"), value, strict=False))
    row = Fields(value, path)
    row.only(("start", "stop", "weight", "axis"))
    start, stop = (as_int(row.need(n, "a whole number"), row.at(n)) for n in ("start", "stop"))
    axis = row.text("axis") if "axis" in row else "char"
    try:
        return Segment(start, stop, row.number("weight"), axis)
    except RecordError as error:
        raise RecordError(error.problem, field=path if error.field == "segments" else error.field) from None


def read_verdict(row: Fields) -> Verdict:
    """The verdict that a canonical form describes."""
    kind = row.text("kind")
    if kind not in VERDICT_FIELDS:
        raise expected(f"one of {', '.join(VERDICT_FIELDS)}", kind, row.at("kind"))
    row.only(("kind", *VERDICT_FIELDS[kind]))
    if kind == "pair":
        probability = row.number("probability") if "probability" in row else 1.0
        return Pair(row.whole("chosen", 0), row.whole("rejected", 1), probability, row.flag("tie"))
    if kind == "ranking":
        return Ranking(tuple(as_int(v, path) for path, v in row.items("ranks")))
    if kind == "unary":
        return Unary(tuple(as_flag(v, path) for path, v in row.items("labels")))
    return Group(read_numbers(row, "rewards"))


def read_numbers(row: Fields, name: str) -> tuple[float, ...]:
    """A list of numbers."""
    return tuple(as_number(v, path) for path, v in row.items(name))


def read_mapping(row: Fields, name: str) -> dict[str, Any]:
    """A free-form mapping of plain JSON values, or the JSON text of one."""
    value = row.get(name)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise RecordError(f"expected JSON text: {error}", field=row.at(name)) from None
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise expected("an object", value, row.at(name))
    found: dict[str, Any] = plain(value, row.at(name))
    return found
