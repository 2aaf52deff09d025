"""Writing: nothing lost, nothing half-written, the same bytes for the same records."""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.data.arrow import ArrowRows, unpack_parquet
from prefalign.data.canonical import record_from_dict
from prefalign.data.media import map_media
from prefalign.data.schema import RECORD_SCHEMA
from prefalign.data.sources import iterate, open_records
from prefalign.data.store import append_parquet, write_jsonl, write_parquet, write_records
from prefalign.interfaces.errors import PrefalignError, RecordError
from prefalign.interfaces.record import Media, PreferenceRecord, Prompt, Response
from prefalign.interfaces.verdict import Pair, Unary


def pair(name: str, **changes: Any) -> PreferenceRecord:
    values: dict[str, Any] = {
        "prompt": Prompt(text="p"),
        "responses": (Response(text="good"), Response(text="bad")),
        "verdict": Pair(),
    }
    return PreferenceRecord(id=name, **values | changes)


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_parquet_keeps_every_field(any_record: Any, data: st.DataObject) -> None:
    written = data.draw(st.lists(any_record.map(inline), min_size=1, max_size=2, unique_by=lambda r: r.id))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.parquet"
        assert write_parquet(written, path) == len(written)
        unpack_parquet(path, Path(folder) / "rows.arrow", "records.parquet")
        rows = ArrowRows(Path(folder) / "rows.arrow", "records.parquet")
        assert [record_from_dict(rows.row(i)) for i in range(len(rows))] == written


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_jsonl_keeps_every_field(any_record: Any, data: st.DataObject) -> None:
    written = data.draw(st.lists(any_record.map(inline), min_size=1, max_size=2, unique_by=lambda r: r.id))
    with tempfile.TemporaryDirectory() as folder:
        write_jsonl(written, Path(folder) / "records.jsonl")
        assert list(iterate(open_records(Path(folder) / "records.jsonl"))) == written


def inline(record: PreferenceRecord) -> PreferenceRecord:
    """The record with bytes in the place of paths, which lead nowhere."""
    return map_media(record, lambda medium, _: Media(kind=medium.kind, data=medium.data or b"x"))


def test_the_schema_is_stated_in_the_file(tmp_path: Path) -> None:
    write_parquet([pair("a")], tmp_path / "r.parquet")
    schema = pq.read_schema(tmp_path / "r.parquet")
    assert schema.equals(RECORD_SCHEMA)
    assert schema.metadata[b"prefalign_schema"] == b"1"


def test_large_sets_are_cut_into_row_groups(tmp_path: Path) -> None:
    """1024 rows or 32 MiB, whichever comes first: 2500 small rows make 3 groups, 3 rows of 20 MB make 2."""
    write_parquet((pair(str(i)) for i in range(2500)), tmp_path / "many.parquet")
    assert pq.ParquetFile(tmp_path / "many.parquet").metadata.num_row_groups == 3
    big = Prompt(media=(Media(kind="audio", data=bytes(20_000_000)),))
    write_parquet((pair(str(i), prompt=big) for i in range(3)), tmp_path / "big.parquet")
    assert pq.ParquetFile(tmp_path / "big.parquet").metadata.num_row_groups == 2


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_parquet([pair("x"), pair("y", weight=2.0)], tmp_path / f"{name}.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize("name", ["r.parquet", "r.jsonl", "r.json"])
def test_what_stood_there_survives_a_failure(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_records([pair("old")], path)
    before = path.read_bytes()

    def fails() -> Iterator[PreferenceRecord]:
        yield pair("new")
        raise RuntimeError("the model ran out of memory")

    with pytest.raises(RuntimeError, match="ran out of memory"):
        write_records(fails(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_an_id_is_written_once(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="record 'a', field 'id': the id stands twice"):
        write_parquet([pair("a"), pair("a")], tmp_path / "r.parquet")
    assert not list(tmp_path.iterdir())


def test_appending_adds_a_shard_and_touches_no_other(tmp_path: Path) -> None:
    first = append_parquet([pair("a")], tmp_path / "set")
    before = first.read_bytes()
    second = append_parquet([pair("b"), pair("c")], tmp_path / "set")
    assert (first.name, second.name) == ("part-00000.parquet", "part-00001.parquet")
    assert first.read_bytes() == before
    assert sorted(p.name for p in (tmp_path / "set").iterdir()) == [first.name, second.name]
    source = open_records(tmp_path / "set")
    assert [record.id for record in iterate(source)] == ["a", "b", "c"]
    with pytest.raises(RuntimeError, match="boom"):
        append_parquet(boom(), tmp_path / "set")
    assert sorted(p.name for p in (tmp_path / "set").iterdir()) == [first.name, second.name]


def boom() -> Iterator[PreferenceRecord]:
    yield pair("d")
    raise RuntimeError("boom")


def test_appending_beside_another_process_takes_the_next_name(tmp_path: Path) -> None:
    def slow() -> Iterator[PreferenceRecord]:
        yield pair("a")
        append_parquet([pair("b")], tmp_path)  # finishes while this one is still writing

    assert append_parquet(slow(), tmp_path).name == "part-00001.parquet"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["part-00000.parquet", "part-00001.parquet"]


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PrefalignError, match=r"r\.csv: expected a name ending in \.jsonl, \.json or \.parquet"):
        write_records([pair("a")], tmp_path / "r.csv")


def test_media_stay_referred_to_inside_the_folder(tmp_path: Path, png: Callable[..., bytes]) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(png())
    absolute = str(tmp_path / "pictures" / "a.png")
    record = pair("a", prompt=Prompt(media=(Media(kind="image", path=absolute),)))
    write_jsonl([record], tmp_path / "r.jsonl", "flat")
    assert json.loads((tmp_path / "r.jsonl").read_text())["images"] == ["pictures/a.png"]
    assert open_records(tmp_path / "r.jsonl")[0] == record

    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(RecordError, match=r"record 'a', field 'prompt\.media\[0\]': .* lies outside the folder"):
        write_jsonl([record], tmp_path / "elsewhere" / "r.jsonl")


def test_media_are_copied_once_by_content_or_embedded(tmp_path: Path, png: Callable[..., bytes]) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.PNG").write_bytes(png())
    media = tuple(Media(kind="image", path=str(tmp_path / f"{name}.PNG")) for name in ("a", "b"))
    response = Response(media=media, context=Prompt(text="q", media=media))
    record = PreferenceRecord(id="a", prompt=Prompt(media=media), responses=(response,), verdict=Unary((True,)))
    (tmp_path / "out").mkdir()
    write_parquet([record], tmp_path / "out" / "r.parquet", "copy")
    copies = [p for p in (tmp_path / "out" / "media").rglob("*") if p.is_file()]
    assert [p.suffix for p in copies] == [".png"]
    found = open_records(tmp_path / "out" / "r.parquet")[0]
    assert {m.path for m in found.responses[0].context.media} == {str(copies[0])}

    write_parquet([record], tmp_path / "out" / "e.parquet", "embed")
    found = open_records(tmp_path / "out" / "e.parquet")[0]
    assert found.prompt.media[1] == Media(kind="image", data=png())
