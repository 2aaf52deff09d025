"""Input that is broken, hostile or mistaken: refused when it is opened, by a message that says where and what.

In every case the file itself, and whatever lies beside it, is as it was.
"""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefalign.data import jsonl
from prefalign.data.sources import open_records
from prefalign.data.store import write_parquet
from prefalign.interfaces.errors import PrefalignError, RecordError
from prefalign.interfaces.record import PreferenceRecord, Prompt, Response
from prefalign.interfaces.verdict import Pair

GOOD = {"id": "good", "prompt": "Why?", "chosen": "Because.", "rejected": "No idea."}

NESTED = b', "provenance": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}"
CHAT = {
    "id": "chat",
    "prompt": [{"role": "user", "content": "Why?"}],
    "chosen": [{"role": "assistant", "content": "Because."}],
    "rejected": [{"role": "assistant", "content": "No idea."}],
}


def pairs(count: int) -> list[PreferenceRecord]:
    answers = (Response(text="yes"), Response(text="no"))
    return [
        PreferenceRecord(id=f"r{i}", prompt=Prompt(text="?"), responses=answers, verdict=Pair()) for i in range(count)
    ]


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """`put(rows, name)`: a JSONL file of rows, each an object or a line as it is to be."""

    def write(*rows: Any, name: str = "pairs.jsonl") -> Path:
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        (tmp_path / name).write_bytes(b"".join(line + b"\n" for line in lines))
        return tmp_path / name

    return write


def refusal(path: Path, **options: Any) -> RecordError:
    """The error of opening `path`; nothing in its folder has changed after it."""

    def state() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}

    before = state()
    with pytest.raises(PrefalignError) as caught:
        open_records(path, **options)
    assert state() == before
    assert isinstance(caught.value, RecordError)
    return caught.value


@pytest.mark.parametrize(
    ("row", "record_id", "field", "problem"),
    [
        ({**GOOD, "chosen": 5}, "good", "chosen", "expected text, a list of turns, or an object, got 5"),
        ({**GOOD, "prompt": {"text": "x"}}, "good", "prompt", "expected text, got an object with 'text'"),
        ({**GOOD, "weight": "high"}, "good", "weight", "expected a number, got 'high'"),
        ({**GOOD, "weight": float("nan")}, "good", "weight", "finite number of at least 0, got nan"),
        ({**GOOD, "margin": float("inf")}, "good", "margin", "finite number of at least 0, got inf"),
        ({**GOOD, "weight": 10**400}, "good", "weight", "a number within double precision"),
        ({**GOOD, "probability": 1.5}, "good", "verdict", "probability between 0 and 1, got 1.5"),
        ({**GOOD, "tie": "yes"}, "good", "tie", "expected true or false, got 'yes'"),
        ({**GOOD, "chosen": " \n"}, "good", "responses[0].text", "the response is empty"),
        ({**CHAT, "chosen": [{"role": "assistant", "content": " "}]}, "chat", "chosen", "the response is empty"),
        ({**CHAT, "prompt": "Why?"}, "chat", "prompt", "expected the prompt as turns, or turns that begin with it"),
        ({**CHAT, "prompt": None}, "chat", "prompt", "expected a prompt, or responses that begin with the same"),
        ({**CHAT, "chosen": []}, "chat", "chosen", "expected at least one turn"),
        ({**GOOD, "rejected": "Because."}, "good", "responses", "chosen and rejected are identical"),
        ({**GOOD, "chosen_segments": [[0, 3, float("nan")]]}, "good", "chosen_segments[0]", "finite weight, got nan"),
        ({**GOOD, "choosen": "x"}, "good", "choosen", "unknown field; did you mean 'chosen'?"),
        ({**GOOD, "anotator": "x"}, "good", "anotator", "did you mean 'annotator'?"),
        ({**GOOD, "prompt": [{"role": "user", "content": 5}]}, "good", "prompt[0].content", "expected a list, got 5"),
        ({**GOOD, "prompt": ["hi"]}, "good", "prompt[0]", "expected an object, got 'hi'"),
        (
            {**GOOD, "prompt": [{"role": "user", "content": [{"type": "text", "text": ["a"]}]}]},
            "good",
            "prompt[0].content[0].text",
            "expected text, got a list of 1",
        ),
        (
            {**GOOD, "prompt": [{"role": "user", "content": "x", "tool_calls": [{}]}]},
            "good",
            "prompt[0].tool_calls",
            "write it as text in a turn of role 'function_call'",
        ),
        (
            {
                **GOOD,
                "prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "image"}]}],
                "images": ["a.png"],
            },
            "good",
            "prompt",
            "2 placeholders of kind 'image' and 1 media of it",
        ),
        ({"id": "x", "prompt": "p", "completion": "c", "label": 1}, "x", "label", "expected true or false, got 1"),
        ({"id": "x", "prompt": "p", "responses": ["a", "b"], "ranks": [0]}, "x", "verdict", "expected 2 ranks, got 1"),
        ({"id": "x", "prompt": "p", "responses": ["a", "b"], "rewards": [1, None]}, "x", "rewards[1]", "got null"),
        ({"prompt": "p", "chosen": "c"}, None, "rejected", "expected the other response, got nothing"),
        ({"prompt": "p", "answer": "c"}, None, "answer", "unknown field"),
        ({"prompt": "p", "completion": "c", "responses": ["d"]}, None, "responses", "got completion and responses"),
        ([1, 2], None, "row", "expected an object, got a list of 2"),
        (b'{"id": "x", "id": "y"}', None, "id", "the key stands twice"),
        (b'{"id": "x", "prompt": "Wh\xff?"}', None, "row", "expected UTF-8, got byte 0xff at 25"),
        (b'{"id": "x", "prompt": "Why?", "cho', None, "row", "the line seems to be cut off"),
        (b'{"id": "x" "prompt": "Why?", "chosen": "a"}', None, "row", "expected JSON: Expecting ',' delimiter"),
        (b"[" * 100_000, None, "row", "nested too deeply"),
        (b'{"id": ' + b"9" * 5000 + b"}", None, "row", "expected JSON"),
        (json.dumps(GOOD)[:-1].encode() + NESTED, "good", "row", "nested too deeply"),
        ({**GOOD, "prompt": "\ud83d"}, "good", "prompt", "half a surrogate pair"),
    ],
)
def test_a_bad_row_is_named_by_file_line_record_and_field(
    put: Callable[..., Path], row: Any, record_id: str | None, field: str, problem: str
) -> None:
    path = put({**GOOD, "id": "first"}, b"", row, {**GOOD, "id": "last"})
    error = refusal(path)
    assert (error.where, error.record_id, error.field) == ("pairs.jsonl, line 3", record_id, field)
    assert problem in error.problem
    assert str(error).startswith("pairs.jsonl, line 3, ")

    (path.parent / "keep.txt").write_text("kept")
    source = open_records(path, on_bad="skip")
    assert [record.id for record in source] == ["first", "last"]
    entry = json.loads((path.parent / "pairs.jsonl.quarantine.jsonl").read_text())
    assert (entry["where"], entry["id"], entry["field"]) == ("pairs.jsonl, line 3", record_id, field)
    assert problem in entry["problem"]
    assert (path.parent / "keep.txt").read_text() == "kept"


def test_an_id_that_stands_twice(put: Callable[..., Path]) -> None:
    path = put({**GOOD, "id": "a"}, {**GOOD, "id": "b"}, {**GOOD, "id": "a"})
    error = refusal(path)
    assert str(error) == "pairs.jsonl, line 3, record 'a', field 'id': the id stands already at pairs.jsonl, line 1"
    assert [record.id for record in open_records(path, on_bad="skip")] == ["a", "b"]


@pytest.mark.parametrize("name", ["e.jsonl", "e.json", "e.parquet", "e.npz", "e.jsonl.gz"])
def test_an_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert str(refusal(tmp_path / name)) == f"{name}, field 'file': the file is empty"


def test_a_file_of_blank_lines_and_a_table_without_rows(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text("\n  \n\n")
    assert "there are no records in it" in str(refusal(tmp_path / "b.jsonl"))
    write_parquet([], tmp_path / "t.parquet")
    assert "there are no records in it" in str(refusal(tmp_path / "t.parquet"))


def test_a_huge_line_is_not_read(put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE", 5_000_000)
    path = put({**GOOD, "id": "a"}, {**GOOD, "chosen": "x" * 6_000_000}, {**GOOD, "id": "c"})
    error = refusal(path)
    assert error.where == "pairs.jsonl, line 2"
    assert "expected a line of at most 5000000 bytes, got 60000" in error.problem
    assert [record.id for record in open_records(path, on_bad="skip")] == ["a", "c"]


def test_nothing_usable_is_an_error_even_when_skipping(put: Callable[..., Path]) -> None:
    path = put({**GOOD, "weight": -1})
    with pytest.raises(PrefalignError, match=r"none of its 1 rows is usable; reasons in .*quarantine\.jsonl"):
        open_records(path, on_bad="skip")


def test_columns_of_no_known_format_name_what_they_may_have_meant(put: Callable[..., Path]) -> None:
    error = refusal(put({"promt": "a", "chosen": "b", "rejeted": "c"}))
    assert "is 'promt' meant to be 'prompt'?" in error.problem
    assert "is 'rejeted' meant to be 'rejected'?" in error.problem
    assert "known formats: canonical, flat, trl" in error.problem


def test_a_truncated_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    write_parquet(pairs(100), path)
    whole = path.read_bytes()
    for length in (4, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        error = refusal(path)
        assert error.where == "r.parquet"
        assert error.problem.startswith("expected Parquet: ")


def test_a_parquet_file_with_damaged_pages(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    write_parquet(pairs(100), path)
    content = bytearray(path.read_bytes())
    content[8:40] = bytes(32)
    path.write_bytes(content)
    assert refusal(path).where == "r.parquet"


def test_a_parquet_file_with_somebody_elses_schema(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"x": [1, 2], "y": ["a", "b"]}), path)
    assert str(refusal(path)).startswith("r.parquet, row 1, field 'row': the columns 'x', 'y' are of no known format")


def test_a_parquet_file_that_claims_our_schema(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    table = pa.table({"id": ["a"], "verdict": ["chosen"]}).replace_schema_metadata({"prefalign_schema": "1"})
    pq.write_table(table, path)
    error = refusal(path)
    assert error.field == "prompt"
    assert "expected a column of type struct<text" in error.problem
    pq.write_table(table.replace_schema_metadata({"prefalign_schema": "2"}), path)
    assert "expected schema version 1, got 2; update prefalign" in str(refusal(path))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1}', "the file begins with '{"),
        ('[{"a": 1}', "the file is cut off or broken: the array is not closed"),
        ('[{"a": 1}, {"b', "the file is cut off or broken"),
        ('[{"a": 1} {"b": 1}]', "expected a comma"),
        ('[{"a": 1}] []', "something follows the array"),
        ("[1,,2]", "the file is cut off or broken"),
    ],
)
def test_a_broken_json_array(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "a.json").write_text(text)
    error = refusal(tmp_path / "a.json")
    assert error.where == "a.json"
    assert problem in error.problem


def test_a_row_of_a_json_array_is_named_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([GOOD, {**GOOD, "id": "b", "weight": -1}], indent=1))
    assert refusal(tmp_path / "a.json").where == "a.json, element 2"


def test_a_damaged_gzip_file(tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps(GOOD).encode() * 100)
    for content in (packed[:-20], b"not gzip", packed[:20] + b"\0\0\0\0" + packed[24:]):
        (tmp_path / "a.jsonl.gz").write_bytes(content)
        assert str(refusal(tmp_path / "a.jsonl.gz")).startswith("a.jsonl.gz, field 'file': expected gzip: ")


def test_pickled_arrays_are_not_loaded(tmp_path: Path) -> None:
    """Objects in an array load through pickle, which can run code."""
    fired = tmp_path / "fired"
    trap = np.array([Trap(fired)], dtype=object)
    pair = {f"{part}_{i}": np.zeros((1, 2, 1), np.float32) for part in ("obs", "acts") for i in (1, 2)}
    np.savez(tmp_path / "f.npz", **pair, preferences=trap, allow_pickle=True)
    with pytest.raises(RecordError):
        open_records(tmp_path / "f.npz")
    assert not fired.exists()


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["a.pkl", "a.pt", "a.csv", "a"])
def test_other_files_are_not_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(PrefalignError, match=r"expected a file ending in \.jsonl"):
        open_records(tmp_path / name)


def test_a_file_that_is_not_there_names_near_ones(put: Callable[..., Path]) -> None:
    path = put(GOOD)
    with pytest.raises(PrefalignError, match=r"there is no file or folder .*; did you mean pairs\.jsonl\?"):
        open_records(path.with_name("pair.jsonl"))


def test_a_file_in_the_place_of_the_quarantine_is_not_overwritten(put: Callable[..., Path]) -> None:
    path = put(GOOD, {**GOOD, "id": "b", "weight": -1})
    other = put(GOOD, name="precious.jsonl")
    with pytest.raises(PrefalignError, match=r"precious\.jsonl' exists and is no quarantine file"):
        open_records(path, on_bad="skip", quarantine=other)
    assert json.loads(other.read_text()) == GOOD


@pytest.mark.parametrize("options", [{"on_bad": "ignore"}, {"check_media": "never"}])
def test_a_choice_that_does_not_exist(put: Callable[..., Path], options: dict[str, Any]) -> None:
    with pytest.raises(PrefalignError, match=r"expected \w+ to be one of \w+, \w+, got '\w+'"):
        open_records(put(GOOD), **options)
