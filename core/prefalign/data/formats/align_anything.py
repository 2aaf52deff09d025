"""align-anything's rows: two numbered responses and the number of the better one.

    question, image, response_1, response_2, overall_response   text about a picture; or `video_path`, `audio_path`
    prompt, response_1, response_2, overall_audio               sounds for a text; or `overall_image`, `overall_video`
    prompt, response_0, response_1, better_response_id          PKU-SafeRLHF
    question, image, better_response, worse_response            rows that were sorted already

The better response becomes the first; where it was the second, that is kept among the columns in `provenance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefalign.data.canonical import build_prompt
from prefalign.data.fields import Fields, as_text, expected
from prefalign.data.formats.chat import order_media, slots_of, split_tags
from prefalign.data.formats.flat import read_id
from prefalign.data.formats.layout import COLUMNS_KEY, Layout, columns_of, pair_of, provenance_of
from prefalign.data.media import read_media, write_media
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import Media, Message, PreferenceRecord, Prompt, Response
from prefalign.interfaces.verdict import Pair

_OVERALL = {"overall_response": None, "overall_audio": "audio", "overall_image": "image", "overall_video": "video"}
"""The column of the verdict → kind of the responses; None for text."""

_MEDIA = {"image": "image", "video": "video", "video_path": "video", "audio": "audio", "audio_path": "audio"}
_SAFE = "better_response_id"
_SORTED = ("better_response", "worse_response")
_COLUMNS = frozenset(
    {"id", "prompt", "question", "response_0", "response_1", "response_2", *_MEDIA, *_OVERALL, _SAFE, *_SORTED}
)


def _matches(row: Mapping[str, Any]) -> bool:
    names = {name for name, value in row.items() if value is not None}
    numbered = {"response_1", "response_2"} <= names and bool(names & _OVERALL.keys())
    return numbered or {"response_0", "response_1", _SAFE} <= names or set(_SORTED) <= names


def read_align_anything(row: Mapping[str, Any], fallback_id: str) -> PreferenceRecord:
    """The record of a row of align-anything's."""
    fields = Fields(row)
    provenance = provenance_of(fields, _COLUMNS)
    kind = None
    if _SORTED[0] in fields:
        names = _SORTED
    else:
        verdict, first, second = _sides(fields)
        kind = _OVERALL.get(verdict)
        better = _number(fields, verdict, (first, second))
        names = (f"response_{better}", f"response_{first + second - better}")
        if better != first:
            provenance[COLUMNS_KEY] = {**provenance.get(COLUMNS_KEY, {}), verdict: better}
    return PreferenceRecord(
        id=read_id(fields, fallback_id),
        prompt=_read_prompt(fields),
        responses=tuple(_read_response(fields, name, kind) for name in names),
        verdict=Pair(),
        provenance=provenance,
    )


def _sides(fields: Fields) -> tuple[str, int, int]:
    """The column of the verdict and the numbers of the responses."""
    found = [name for name in (*_OVERALL, _SAFE) if name in fields]
    if len(found) != 1:
        names = ", ".join((*_OVERALL, _SAFE))
        raise RecordError(f"expected exactly one of {names}, got {' and '.join(found) or 'none'}", field="row")
    return (found[0], 0, 1) if found[0] == _SAFE else (found[0], 1, 2)


def _number(fields: Fields, name: str, sides: tuple[int, int]) -> int:
    value = fields.get(name)
    number = int(value) if isinstance(value, str) and value.strip().isdigit() else value
    if isinstance(number, bool) or number not in sides:
        raise expected(f"{sides[0]} or {sides[1]}", value, fields.at(name))
    return int(number)


def _read_prompt(fields: Fields) -> Prompt:
    asked = [name for name in ("question", "prompt") if name in fields]
    if len(asked) != 1:
        raise RecordError("expected one of 'question' and 'prompt'", field=(asked or ["question"])[-1])
    text = as_text(fields.get(asked[0]), asked[0])
    pools: dict[str, list[Media]] = {}
    for name, kind in _MEDIA.items():
        if name in fields:
            pools.setdefault(kind, []).append(read_media(fields.get(name), kind, name))
    message = Message("user", split_tags(text))
    if slots_of([message]):
        return build_prompt(asked[0], messages=(message,), media=order_media([message], (), pools, asked[0]))
    return build_prompt(asked[0], text=text, media=order_media((), (), pools, asked[0]))


def _read_response(fields: Fields, name: str, kind: str | None) -> Response:
    if kind is None:
        return Response(text=fields.text(name))
    return Response(media=(read_media(fields.need(name, kind), kind, name),))


def write_align_anything(record: PreferenceRecord) -> dict[str, Any]:
    """The row of a record in align-anything's layout, numbered as it was or with the better response as number 1."""
    row: dict[str, Any] = {**columns_of(record), "id": record.id}
    chosen, rejected = pair_of(record)
    kind = chosen.media[0].kind if chosen.media else None
    verdict = next((name for name in (*_OVERALL, _SAFE) if name in row), f"overall_{kind or 'response'}")
    first = 0 if verdict == _SAFE else 1
    better = row.setdefault(verdict, first)
    row[f"response_{better}"] = _write_response(chosen)
    row[f"response_{2 * first + 1 - better}"] = _write_response(rejected)
    for medium in record.prompt.media:
        row[medium.kind] = write_media(medium)
    row["question" if record.prompt.media else "prompt"] = record.prompt.text
    return row


def _write_response(response: Response) -> Any:
    return write_media(response.media[0]) if response.media else response.text


ALIGN_ANYTHING = Layout(
    name="align_anything",
    summary="align-anything: response_1, response_2, overall_response or overall_audio; question, image; PKU-SafeRLHF",
    matches=_matches,
    read=read_align_anything,
    write=write_align_anything,
)
