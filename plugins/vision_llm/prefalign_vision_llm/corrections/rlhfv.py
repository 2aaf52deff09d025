"""The layouts in which RLHF-V and RLAIF-V publish their pairs, read by format; the sets are not ours to give.

RLHF-V: columns `idx`, `image` (an object of bytes and path), `text` (JSON of question, chosen, rejected), `ds_name`,
`origin_dataset`, `origin_split` (JSON), `image_path`. RLAIF-V: the same with question, chosen and rejected as columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefalign.data.fields import Fields, expected
from prefalign.data.files import locate
from prefalign.data.formats.layout import COLUMNS_KEY, Layout, jsonable
from prefalign.data.media import read_media
from prefalign.data.validate import RecordReader, check_records
from prefalign.interfaces import Media, Pair, PreferenceRecord, RecordError, Response
from prefalign_vision_llm.corrections.builder import question

#: Scheme of the addresses under which such a set is opened: `rlhfv:path/to/file.parquet`.
SCHEME = "rlhfv"

_ANSWERS = ("question", "chosen", "rejected")
_KEPT = ("origin_dataset", "origin_split", "image_path")


def read_rlhfv(row: Mapping[str, Any], fallback_id: str) -> PreferenceRecord:
    """The record of a row.

    Raises:
        RecordError: naming the column that is missing or of the wrong kind.
    """
    fields = Fields(row)
    texts = _texts(fields)
    given = fields.get("idx")
    if given is not None and (isinstance(given, bool) or not isinstance(given, int | str)):
        raise expected("a number or text", given, "idx")
    kept = {name: jsonable(fields.get(name), name) for name in _KEPT if name in fields}
    return PreferenceRecord(
        id=fallback_id if given is None else str(given),
        prompt=question(_image(fields), texts.text("question")),
        responses=(Response(text=texts.text("chosen")), Response(text=texts.text("rejected"))),
        verdict=Pair(),
        source=fields.maybe_text("ds_name"),
        provenance={COLUMNS_KEY: kept} if kept else {},
    )


def _texts(fields: Fields) -> Fields:
    if "text" not in fields:
        return fields
    value = fields.get("text")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise RecordError(f"expected JSON of question, chosen and rejected: {error}", field="text") from None
    # The older tab-separated files have a bare list of the three.
    if isinstance(value, list) and len(value) == len(_ANSWERS):
        value = dict(zip(_ANSWERS, value, strict=True))
    return Fields(value, "text")


def _image(fields: Fields) -> Media:
    """The image by its bytes where the row brings them, else by its path."""
    if "image" not in fields:
        return read_media(fields.need("image_path", "an image or its path"), "image", "image_path")
    value = fields.get("image")
    if isinstance(value, Mapping) and value.get("bytes") is not None:
        value = value["bytes"]
    return read_media(value, "image", "image")


def _matches(row: Mapping[str, Any]) -> bool:
    return row.get("ds_name") is not None and (row.get("text") is not None or row.get("question") is not None)


RLHFV = Layout(
    name=SCHEME,
    summary="RLHF-V and RLAIF-V: idx, image, and text (JSON) or question, chosen, rejected",
    matches=_matches,
    read=read_rlhfv,
)


class RLHFVSource(Sequence[PreferenceRecord]):
    """The records of a published file or folder, read one at a time.

    Every row is read once when the source is opened, so that a damaged file is met before training.

    Args:
        path: a file or folder, as `prefalign.data.files.locate` takes it.
        split: part of a folder that holds several.

    Attributes:
        name: how messages call it.
        folder: its folder, to which paths of images are relative.

    Raises:
        RecordError: naming file, row, record and field of the first row that cannot be used.
        PrefalignError: if there is no such file.
    """

    def __init__(self, path: str | Path, split: str | None = None) -> None:
        files = locate(str(path), split)
        self.name, self.folder = files.name, files.folder
        self._read = RecordReader(files.rows(), RLHFV, files.folder)

        def stop(index: int, error: RecordError) -> None:
            raise error

        check_records(self._read, "exists", stop)

    def __len__(self) -> int:
        return len(self._read.rows)

    def __getitem__(self, index: int) -> PreferenceRecord:  # type: ignore[override]  # no slices
        """Record `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        return self._read(index)


def open_rlhfv(uri: str, split: str) -> RLHFVSource | None:
    """The source behind `rlhfv:<path>`; None for other addresses."""
    scheme, _, path = uri.partition(":")
    return RLHFVSource(path, split) if scheme == SCHEME and path else None
