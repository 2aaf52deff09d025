"""Rows as people write them, one flat object a judgement; the names are TRL's, with further ones for what TRL lacks.

    {"prompt": …, "chosen": …, "rejected": …}            pair
    {"prompt": …, "completion": …, "label": true}        unary
    {"prompt": …, "responses": […], "ranks": [0, 1]}     ranking; `rewards` for a group, `labels` for unary labels

A prompt is text or a list of turns. A response is text, a list of turns, or an object in the canonical form of a
response. TRL's own rows are the same with any further columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping, Sequence
from typing import Any

from prefalign.data.canonical import (
    build_prompt,
    plain,
    read_mapping,
    read_numbers,
    read_response,
    read_segment,
    read_verdict,
    record_to_dict,
    response_to_dict,
    write_verdict,
)
from prefalign.data.fields import Fields, as_flag, as_int, as_text, expected
from prefalign.data.formats.chat import (
    KINDS,
    chat_response,
    order_media,
    read_messages,
    read_pools,
    slots_of,
    write_messages,
    write_pools,
)
from prefalign.data.formats.layout import Layout, pair_of, provenance_of
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import PreferenceRecord, Prompt, Response
from prefalign.interfaces.verdict import Group, Pair, Ranking, Unary, Verdict

TRL_COLUMNS = frozenset(
    (
        *("id", "prompt", "chosen", "rejected", "completion", "label", "image", "images", "margin", "reference"),
        *("ref_chosen_logps", "ref_rejected_logps", "ref_logps", "ref_KL_logps", "tools", "chat_template_kwargs"),
    )
)
_FORMS = {
    "chosen": {
        *("chosen", "rejected", "chosen_segments", "rejected_segments", "chosen_context", "rejected_context"),
        *("ref_chosen_logps", "ref_rejected_logps", "probability", "tie"),
    },
    "completion": {"completion", "label", "completion_segments", "completion_context", "ref_logps", "ref_KL_logps"},
    "responses": {"responses", "ranks", "rewards", "labels"},
}
"""Columns by form, under the one that tells the form."""

_COMMON = TRL_COLUMNS.difference(*_FORMS.values()) | {
    *("video", "videos", "audio", "audios", "weight", "annotator", "source"),
    *("conditions", "criteria", "goal", "provenance"),
}
FLAT_COLUMNS = _COMMON.union(*_FORMS.values())
_CONTEXT_COLUMNS = ("prompt", "conditions", *KINDS, *KINDS.values())
_CONDITIONS = ("tools", "chat_template_kwargs")


def has_form(row: Mapping[str, Any]) -> bool:
    """Whether a row has the columns of one of the forms."""
    names = {name for name, value in row.items() if value is not None}
    forms = ({"chosen", "rejected"}, {"completion", "label"})
    many = "responses" in names and bool(names & {"ranks", "rewards", "labels"})
    return (many or any(form <= names for form in forms)) and not isinstance(row.get("verdict"), Mapping)


def read_flat(row: Mapping[str, Any], fallback_id: str, *, strict: bool = True) -> PreferenceRecord:
    """The record of a flat row.

    Args:
        row: the row.
        fallback_id: id where the row has none.
        strict: refuse unknown columns, which a person mistyped; without it they go to `provenance`.
    """
    fields = Fields(row)
    if strict:
        fields.only(FLAT_COLUMNS, "facts of your own belong into 'provenance'")
    form = _form(fields)
    known = _COMMON | _FORMS[form]
    if strict and (odd := next((name for name in fields if name not in known), None)):
        raise RecordError(f"does not go with {form!r}", field=odd)
    provenance = read_mapping(fields, "provenance")
    if not strict:
        provenance |= provenance_of(fields, known)
    if form == "completion" and "ref_KL_logps" in fields:
        provenance["ref_KL_logps"] = fields.number("ref_KL_logps")
    responses, verdict, prompt = _read_responses(fields, form)
    return PreferenceRecord(
        id=read_id(fields, fallback_id),
        prompt=prompt,
        responses=tuple(responses),
        verdict=verdict,
        criteria={name: read_verdict(Fields(v, path)) for name, path, v in fields.members("criteria")},
        margin=fields.maybe_number("margin"),
        weight=fields.number("weight") if "weight" in fields else 1.0,
        annotator=fields.maybe_text("annotator"),
        source=fields.maybe_text("source"),
        reference_answer=_read_response(fields, "reference") if "reference" in fields else None,
        goal=read_numbers(fields, "goal") if "goal" in fields else None,
        provenance=provenance,
    )


def read_id(fields: Fields, fallback: str) -> str:
    """The row's id, text or a whole number, or the fallback."""
    value = fields.get("id")
    if value is None:
        return fallback
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return as_text(value, fields.at("id"))


def _form(fields: Fields) -> str:
    """Which of the forms a row has."""
    found = [name for name in _FORMS if name in fields]
    if len(found) == 1:
        return found[0]
    forms = "chosen and rejected; completion and label; responses with ranks, rewards or labels"
    got = f", got {' and '.join(found)}" if found else ""
    raise RecordError(f"expected one of: {forms}{got}", field=found[1] if found else "row")


def _read_responses(fields: Fields, form: str) -> tuple[list[Response], Verdict, Prompt]:
    if form == "chosen":
        fields.need("rejected", "the other response")
        chosen, rejected, prompt = _read_pair(fields)
        probability = fields.maybe_number("probability")
        tie = fields.flag("tie")
        if probability is None:
            probability = 0.5 if tie else 1.0
        return [chosen, rejected], Pair(0, 1, probability, tie), prompt
    prompt = _read_prompt(fields)
    if form == "completion":
        answer = _read_response(fields, "completion", fields.maybe_number("ref_logps"))
        return [answer], Unary((as_flag(fields.need("label", "true or false"), fields.at("label")),)), prompt
    verdicts = [name for name in ("ranks", "rewards", "labels") if name in fields]
    if len(verdicts) != 1:
        raise RecordError("expected exactly one of ranks, rewards and labels beside responses", field="responses")
    answers = [_response(value, path) for path, value in fields.items("responses")]
    if verdicts == ["ranks"]:
        return answers, Ranking(tuple(as_int(v, path) for path, v in fields.items("ranks"))), prompt
    if verdicts == ["labels"]:
        return answers, Unary(tuple(as_flag(v, path) for path, v in fields.items("labels"))), prompt
    return answers, Group(read_numbers(fields, "rewards")), prompt


def _read_pair(fields: Fields) -> tuple[Response, Response, Prompt]:
    chosen, rejected = fields.get("chosen"), fields.get("rejected")
    prompt = fields.get("prompt")
    # A prompt of text beside responses of turns repeats what the turns begin with.
    implicit = prompt is None or (isinstance(prompt, str) and isinstance(chosen, list))
    if isinstance(chosen, str) and _has_other_than_text(fields):
        implicit = False  # a picture alone is a prompt
    if not implicit or isinstance(chosen, Mapping):
        first = _read_response(fields, "chosen", fields.maybe_number("ref_chosen_logps"))
        second = _read_response(fields, "rejected", fields.maybe_number("ref_rejected_logps"))
        return first, second, _read_prompt(fields)
    if type(chosen) is not type(rejected) or not isinstance(chosen, str | list):
        raise expected("the same form as 'chosen': text, or a list of turns", rejected, fields.at("rejected"))
    cut = common_prefix(chosen, rejected)
    if not cut:
        problem = "expected a prompt, or responses that begin with the same prompt"
        if prompt is not None:
            problem = "beside responses of turns, expected the prompt as turns, or turns that begin with it"
        raise RecordError(problem, field=fields.at("prompt"))
    if not chosen[cut:] or not rejected[cut:]:
        name = "rejected" if chosen[cut:] else "chosen"
        raise RecordError("nothing is left of it behind the prompt that both begin with", field=fields.at(name))
    parts = {"prompt": chosen[:cut], "chosen": chosen[cut:], "rejected": rejected[cut:]}
    inner = Fields({**fields.value, **parts}, fields.path)
    found = _read_prompt(inner)
    if isinstance(prompt, str) and prompt.strip() not in [turn.text.strip() for turn in found.messages]:
        problem = "the text is none of the turns that 'chosen' and 'rejected' begin with"
        raise RecordError(problem, field=fields.at("prompt"))
    first = _read_response(inner, "chosen", fields.maybe_number("ref_chosen_logps"))
    second = _read_response(inner, "rejected", fields.maybe_number("ref_rejected_logps"))
    return first, second, found


def _has_other_than_text(columns: Container[str]) -> bool:
    return any(name in columns for name in _CONTEXT_COLUMNS if name != "prompt")


def common_prefix(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Length of the prompt that two responses share, in turns or in characters.

    A space in front of the first difference belongs to the responses.
    """
    shorter = min(len(first), len(second))
    length = next((i for i in range(shorter) if first[i] != second[i]), shorter)
    return length - 1 if length and first[length - 1] == " " else length


def _read_prompt(fields: Fields, name: str = "prompt") -> Prompt:
    value = fields.get(name)
    conditions = read_mapping(fields, "conditions")
    for extra in _CONDITIONS:
        if extra in fields:
            conditions[extra] = plain(fields.get(extra), fields.at(extra))
    pools = read_pools(fields)
    if isinstance(value, list | tuple) and value:
        messages, inline = read_messages(value, fields.at(name))
        media = order_media(messages, inline, pools, fields.at(name))
        return build_prompt(fields.at(name), messages=messages, media=media, conditions=conditions)
    text = fields.maybe_text(name) if not isinstance(value, list | tuple) else None
    media = order_media((), (), pools, fields.at(name))
    return build_prompt(fields.at(name), text=text, media=media, conditions=conditions)


def _read_response(fields: Fields, name: str, ref_logp: float | None = None) -> Response:
    value = fields.need(name, "a response")
    response = _response(value, fields.at(name))
    changes: dict[str, Any] = {}
    if ref_logp is not None:
        changes["ref_logp"] = ref_logp
    if segments := fields.items(f"{name}_segments"):
        changes["segments"] = tuple(read_segment(v, path) for path, v in segments)
    if f"{name}_context" in fields:
        context = fields.child(f"{name}_context")
        context.only(_CONTEXT_COLUMNS)
        changes["context"] = _read_prompt(context)
    return dataclasses.replace(response, **changes) if changes else response


def _response(value: Any, path: str) -> Response:
    if isinstance(value, str):
        return Response(text=as_text(value, path))
    if isinstance(value, list | tuple):
        return chat_response(*read_messages(value, path), path)
    if isinstance(value, Mapping):
        return read_response(Fields(value, path))
    raise expected("text, a list of turns, or an object", value, path)


def write_flat(record: PreferenceRecord) -> dict[str, Any]:
    """The flat row of a record; responses that are more than text or turns are written as objects."""
    row: dict[str, Any] = {"id": record.id, **write_prompt(record.prompt)}
    verdict = record.verdict
    if isinstance(verdict, Pair) and len(record.responses) == 2:
        for name, response in zip(("chosen", "rejected"), pair_of(record), strict=True):
            row |= _write_response(response, record.prompt, name, f"ref_{name}_logps")
        if verdict.tie:
            row["tie"] = True
        if verdict.probability != (0.5 if verdict.tie else 1.0):
            row["probability"] = verdict.probability
    elif isinstance(verdict, Unary) and len(record.responses) == 1:
        row |= _write_response(record.responses[0], record.prompt, "completion", "ref_logps")
        row["label"] = verdict.labels[0]
    else:
        row["responses"] = [_write_whole(r, record.prompt, f"responses[{i}]") for i, r in enumerate(record.responses)]
        row |= {k: v for k, v in write_verdict(verdict).items() if k in ("ranks", "rewards", "labels")}
    if record.reference_answer is not None:
        row["reference"] = _write_whole(record.reference_answer, record.prompt, "reference_answer")
    canonical = record_to_dict(record)
    for name in ("margin", "weight", "annotator", "source", "criteria", "goal", "provenance"):
        if name in canonical:
            row[name] = canonical[name]
    return row


def write_prompt(prompt: Prompt) -> dict[str, Any]:
    """The columns of a prompt."""
    row: dict[str, Any] = write_pools(prompt.media)
    if prompt.messages:
        row["prompt"] = write_messages(prompt.messages)
    elif prompt.text is not None:
        row["prompt"] = prompt.text
    if prompt.conditions:
        row["conditions"] = dict(prompt.conditions)
    return row


def _write_response(response: Response, prompt: Prompt, name: str, logps: str) -> dict[str, Any]:
    bare = dataclasses.replace(response, segments=(), ref_logp=None)
    row: dict[str, Any] = {name: _write_whole(bare, prompt, name)}
    if isinstance(row[name], dict):
        return {name: response_to_dict(response, name)}
    if response.segments:
        row[f"{name}_segments"] = [
            [s.start, s.stop, s.weight] if s.axis == "char" else [s.start, s.stop, s.weight, s.axis]
            for s in response.segments
        ]
    if response.ref_logp is not None:
        row[logps] = response.ref_logp
    return row


def _write_whole(response: Response, prompt: Prompt, path: str) -> Any:
    """A response as text or turns where these are all it has, and where no reader would look for a prompt in them."""
    says_prompt = prompt.text is not None or _has_other_than_text(write_prompt(prompt))
    if says_prompt and response == Response(text=response.text or "-"):
        return response.text
    bare = bool(response.messages) and response == Response(messages=response.messages)
    if prompt.messages and bare and not slots_of(response.messages):
        return write_messages(response.messages)
    return response_to_dict(response, path)


FLAT = Layout(
    name="flat",
    summary="hand-written objects: prompt, chosen, rejected and whatever else a record has",
    matches=lambda row: has_form(row) and all(name in FLAT_COLUMNS for name in row),
    read=read_flat,
    write=write_flat,
)
