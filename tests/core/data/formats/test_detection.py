"""Telling layouts apart."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.core.data.formats.rows import turn

from prefalign.data.formats import LAYOUTS
from prefalign.data.sources import open_records
from prefalign.interfaces.errors import PrefalignError, RecordError
from prefalign.interfaces.record import Slot


def test_a_row_of_two_formats_must_be_told_apart(tmp_path: Path) -> None:
    row = {
        "prompt": "p",
        "chosen": "a",
        "rejected": "b",
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
        "rejected_response": "b",
    }
    (tmp_path / "r.jsonl").write_text(json.dumps(row))
    with pytest.raises(RecordError, match=r"r\.jsonl, line 1, .*fit the formats 'trl' and 'swift'; say which"):
        open_records(tmp_path / "r.jsonl")
    assert open_records(tmp_path / "r.jsonl", format="swift")[0].prompt.messages == (turn("user", "q"),)
    assert open_records(tmp_path / "r.jsonl", format="trl")[0].prompt.text == "p"
    with pytest.raises(PrefalignError, match=r"unknown format 'swiftt'; did you mean 'swift'"):
        open_records(tmp_path / "r.jsonl", format="swiftt")


def test_a_damaged_first_row_does_not_hide_the_format(tmp_path: Path) -> None:
    good = json.dumps({"prompt": "p", "chosen": "a", "rejected": "b"})
    (tmp_path / "r.jsonl").write_text("{broken\n" + good + "\n")
    source = open_records(tmp_path / "r.jsonl", on_bad="skip")
    assert (source.layout, len(source), source.dropped) == ("flat", 1, 1)


def test_foreign_rows_in_parquet(tmp_path: Path, png: Callable[..., bytes]) -> None:
    """The columns of `datasets`' Image feature, nulls for what a row lacks, and a time, which becomes text."""
    import datetime

    rows = [
        {
            "prompt": [{"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "?"}]}],
            "images": [{"bytes": png(), "path": "x.png"}],
            "chosen": [{"role": "assistant", "content": [{"type": "text", "text": "a"}]}],
            "rejected": [{"role": "assistant", "content": [{"type": "text", "text": "b"}]}],
            "made_at": datetime.datetime(2024, 5, 1, 12, 0),
        }
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    record = open_records(tmp_path / "r.parquet")[0]
    assert record.prompt.media[0].data == png()
    assert record.prompt.messages == (turn("user", Slot("image"), "?"),)
    assert record.provenance == {"columns": {"made_at": "2024-05-01T12:00:00"}}


def test_every_layout_is_described() -> None:
    assert all(layout.summary and layout.name == name for name, layout in LAYOUTS.items())
