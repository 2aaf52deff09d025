"""Pick-a-Pic's rows: two pictures for a caption, `jpg_0` and `jpg_1`, and how far each was preferred.

`label_0` is 1 where the first picture was preferred, 0 where the second was, and 0.5 for a tie. The preferred picture
becomes the first response; which it was is kept among the columns in `provenance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefalign.data.canonical import build_prompt
from prefalign.data.fields import Fields, as_text, expected
from prefalign.data.formats.flat import read_id
from prefalign.data.formats.layout import COLUMNS_KEY, Layout, columns_of, pair_of, provenance_of
from prefalign.data.media import read_media, write_media
from prefalign.interfaces.errors import RecordError
from prefalign.interfaces.record import PreferenceRecord, Response
from prefalign.interfaces.verdict import Pair

_REQUIRED = ("jpg_0", "jpg_1", "label_0", "caption")
_COLUMNS = frozenset({"id", *_REQUIRED, "label_1", "has_label", "user_id", "model_0", "model_1"})


def read_pickapic(row: Mapping[str, Any], fallback_id: str) -> PreferenceRecord:
    """The record of a row of Pick-a-Pic."""
    fields = Fields(row)
    if "has_label" in fields and fields.get("has_label") not in (True, 1, "True"):
        raise expected("a row with a label", fields.get("has_label"), "has_label")
    label = fields.number("label_0")
    if not 0.0 <= label <= 1.0:
        raise expected("a number between 0 and 1", label, "label_0")
    if "label_1" in fields and abs(label + fields.number("label_1") - 1.0) > 1e-6:
        other = fields.number("label_1")
        raise RecordError(f"expected label_0 and label_1 to sum to 1, got {label} and {other}", field="label_1")
    provenance = provenance_of(fields, _COLUMNS)
    pictures = [_picture(fields, side) for side in (0, 1)]
    verdict = Pair(probability=label, tie=label == 0.5)
    if label == 0.0:
        pictures.reverse()
        verdict = Pair()
        provenance[COLUMNS_KEY] = {**provenance.get(COLUMNS_KEY, {}), "label_0": 0.0}
    return PreferenceRecord(
        id=read_id(fields, fallback_id),
        prompt=build_prompt("caption", text=fields.text("caption")),
        responses=tuple(pictures),
        verdict=verdict,
        annotator=None if fields.get("user_id") is None else as_text(str(fields.get("user_id")), "user_id"),
        provenance=provenance,
    )


def _picture(fields: Fields, side: int) -> Response:
    name = f"jpg_{side}"
    medium = read_media(fields.need(name, "a picture"), "image", name)
    return Response(media=(medium,), source=fields.maybe_text(f"model_{side}"))


def write_pickapic(record: PreferenceRecord) -> dict[str, Any]:
    """The row of a record in Pick-a-Pic's layout."""
    row: dict[str, Any] = {**columns_of(record), "id": record.id, "caption": record.prompt.text}
    first, second = pair_of(record)
    assert isinstance(record.verdict, Pair)
    if row.get("label_0") == 0.0:
        first, second = second, first
    else:
        row["label_0"] = record.verdict.probability
    row["label_1"] = 1.0 - row["label_0"]
    for side, response in enumerate((first, second)):
        if len(response.media) != 1:
            raise RecordError("expected one picture", field="responses.media")
        row[f"jpg_{side}"] = write_media(response.media[0])
        if response.source is not None:
            row[f"model_{side}"] = response.source
    if record.annotator is not None:
        row["user_id"] = record.annotator
    return row


PICKAPIC = Layout(
    name="pickapic",
    summary="Pick-a-Pic: jpg_0, jpg_1, label_0 (0.5 is a tie), caption",
    matches=lambda row: all(row.get(name) is not None for name in _REQUIRED),
    read=read_pickapic,
    write=write_pickapic,
)
