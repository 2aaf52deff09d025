"""The published layouts of RLHF-V and RLAIF-V, on rows made here."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefalign.data.build import build
from prefalign.data.sources import open_records
from prefalign.interfaces import Media, Pair, PreferenceRecord, RecordError, Segment
from prefalign_vision_llm.corrections.builder import MarkCorrections
from prefalign_vision_llm.corrections.rlhfv import RLHFVSource, open_rlhfv, read_rlhfv

TEXTS = {"question": "What is there?", "chosen": "A cup.", "rejected": "A pan."}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened files leave nothing behind in the user's cache."""
    monkeypatch.setenv("PREFALIGN_CACHE", str(tmp_path_factory.mktemp("cache")))


def row(**changes: Any) -> dict[str, Any]:
    return {
        "ds_name": "RLHF-V",
        "image": {"bytes": b"pixels", "path": None},
        "text": json.dumps(TEXTS),
        "origin_dataset": "LCS-558K",
        "origin_split": '{"model": "Muffin", "type": "question answering"}',
        "idx": 17,
        "image_path": "a/b.jpg",
    } | changes


def test_a_published_row_by_hand() -> None:
    record = read_rlhfv(row(), "fallback")
    assert (record.id, record.source, record.verdict) == ("17", "RLHF-V", Pair())
    assert record.prompt.messages[0].text == "What is there?"
    assert record.prompt.media == (Media(kind="image", data=b"pixels"),)
    assert [response.text for response in record.responses] == ["A cup.", "A pan."]
    kept = {name: row()[name] for name in ("origin_dataset", "origin_split", "image_path")}
    assert record.provenance == {"columns": kept}


@pytest.mark.parametrize("text", [json.dumps(list(TEXTS.values())), TEXTS, json.dumps(TEXTS)])
def test_spellings_of_the_texts(text: Any) -> None:
    assert read_rlhfv(row(text=text), "f") == read_rlhfv(row(), "f")


def test_texts_as_columns() -> None:
    """RLAIF-V has no column `text`."""
    assert read_rlhfv(row(text=None, **TEXTS), "f") == read_rlhfv(row(), "f")


def test_an_image_by_its_path() -> None:
    for changes in ({"image": None}, {"image": {"bytes": None, "path": "a/b.jpg"}}, {"image": "a/b.jpg"}):
        assert read_rlhfv(row(**changes), "f").prompt.media == (Media(kind="image", path="a/b.jpg"),)
    assert read_rlhfv(row(idx=None), "f").id == "f"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"text": "{"}, "text"),
        ({"text": json.dumps({"question": "?", "chosen": "a"})}, "text.rejected"),
        ({"text": json.dumps(["?", "a"])}, "text"),
        ({"text": json.dumps(TEXTS | {"chosen": 3})}, "text.chosen"),
        ({"text": json.dumps(TEXTS | {"chosen": "A pan."})}, "responses"),
        ({"text": json.dumps(TEXTS | {"chosen": " "})}, "responses[0].text"),
        ({"idx": 1.5}, "idx"),
        ({"image": None, "image_path": None}, "image_path"),
        ({"image": 3}, "image"),
        ({"ds_name": 3}, "ds_name"),
    ],
)
def test_bad_rows_name_their_column(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(RecordError) as error:
        read_rlhfv(row(**changes), "f")
    assert error.value.field == field


def parquet(path: Path, *rows: dict[str, Any]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def test_a_parquet_file_is_a_source(tmp_path: Path, make_picture: Callable[..., Media], llava_family: Any) -> None:
    """Opened by address, read in any order, sent to a worker, and encoded by the policy."""
    image = {"bytes": make_picture(1).data, "path": "x.png"}
    file = parquet(tmp_path / "RLHF-V-Dataset.parquet", row(image=image), row(image=image, idx=18))
    source = open_rlhfv(f"rlhfv:{file}", "train")
    assert isinstance(source, RLHFVSource)
    assert [source[1].id, source[0].id, len(source), source.name] == ["18", "17", 2, file.name]
    assert source[0].prompt.media[0].data == make_picture(1).data
    again: PreferenceRecord = pickle.loads(pickle.dumps(source))[1]
    assert again == source[1]
    assert len(llava_family.codec().encode(again).rows) == 2
    with pytest.raises(IndexError):
        source[2]


def test_a_published_set_is_marked_and_stored(tmp_path: Path, make_picture: Callable[..., Media]) -> None:
    """Read, marked by the builder and written: the stored pair has weights, its image and its origin."""
    image = {"bytes": make_picture(1).data, "path": "x.png"}
    source = RLHFVSource(parquet(tmp_path / "x.parquet", row(image=image)))
    manifest = build(source, [MarkCorrections(gamma=2.0)], tmp_path / "out", seed=0)
    assert manifest["stages"][0]["settings"] == {"gamma": 2.0, "scheme": "decision", "tokenizer": None}
    stored = open_records(tmp_path / "out")[0]
    assert [response.segments for response in stored.responses] == [(Segment(2, 5, 2.0),), (Segment(2, 5, 2.0),)]
    assert stored.prompt.media[0].data == make_picture(1).data
    assert stored.provenance["columns"]["origin_dataset"] == "LCS-558K"


def test_a_damaged_file_is_met_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"x\.parquet.*expected JSON") as error:
        RLHFVSource(parquet(tmp_path / "x.parquet", row(), row(idx=18, text="{")))
    assert error.value.field == "text"
    with pytest.raises(RecordError, match="the id stands already") as error:
        RLHFVSource(parquet(tmp_path / "y.parquet", row(), row()))
    assert error.value.record_id == "17"


def test_images_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"leaves it"):
        RLHFVSource(parquet(tmp_path / "x.parquet", row(image={"bytes": None, "path": "../secret.png"})))


def test_other_addresses_are_not_ours() -> None:
    assert open_rlhfv("hub:x", "train") is None
    assert open_rlhfv("rlhfv:", "train") is None
