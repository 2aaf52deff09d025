"""Reading JSON files in every layout that people have, and refusing what is broken with its line."""

import gzip
import json
from pathlib import Path

import pytest

from prefalign_vision_llm.commands import documents
from prefalign_vision_llm.commands.documents import Document, canonical_id, read_documents
from prefalign_vision_llm.metrics.functional.errors import MetricInputError

RECORDS = [{"a": 1}, {"a": "[\n}{"}, {"a": "犬 café"}]
LAYOUTS = {
    "lines": ("\n".join(map(json.dumps, RECORDS)) + "\n", [1, 2, 3]),
    "no newline at the end": ("\n".join(map(json.dumps, RECORDS)), [1, 2, 3]),
    "windows lines": ("\r\n".join(map(json.dumps, RECORDS)) + "\r\n", [1, 2, 3]),
    "blank lines": ("\n\n" + "\n\n".join(map(json.dumps, RECORDS)) + "\n\n", [3, 5, 7]),
    "one after the other": ("".join(map(json.dumps, RECORDS)), [1, 1, 1]),
    "over several lines": ("\n".join(json.dumps(record, indent=1) for record in RECORDS), [1, 4, 7]),
    "array": (json.dumps(RECORDS), [1, 1, 1]),
    "array over several lines": (json.dumps(RECORDS, indent=1) + "\n", [2, 5, 8]),
    "byte order mark": ("\ufeff" + "\n".join(json.dumps(r, ensure_ascii=False) for r in RECORDS), [1, 2, 3]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("packed", [False, True])
def test_every_layout_gives_the_same_records(tmp_path: Path, layout: str, packed: bool) -> None:
    """Plain or gzipped under a name that does not say so; each record knows its line."""
    text, lines = LAYOUTS[layout]
    path = tmp_path / ("records.txt" if packed else "records.gz")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    read = read_documents(path)
    assert [document.value for document in read] == RECORDS
    assert [document.where for document in read] == [f"{path}:{line}" for line in lines]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"[]", "the file is empty"),
        (b'{"a": 1}\n{"a": "half', r":2: broken or half a JSON record \(Unterminated string.*column 7"),
        (
            b'{"a": 1}\n{"a": 2\n{"a": 3}\n',
            r":2: broken or half.*Expecting ',' delimiter, column 1 of the line 1 further",
        ),
        (b'{"a": 1}\noops\n', r":2: broken or half a JSON record \(Expecting value, column 1\)"),
        (b'[{"a": 1},\n{"a": 2}', ":.*the array never ends|:2: the array does not go on"),
        (b'[{"a": 1}\n{"a": 2}]', ":1: the array does not go on with"),
        (b'[{"a": 1}]\n{"a": 2}', "the array ends before the file does"),
        (b'{"a": 1}\n{"a": NaN}', ":2: NaN is not JSON"),
        (b'{"a": 1, "b": 2, "a": 3}', ":1: key 'a' stands twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", ":1: "),
        (b'{"a": ' + b"[" * 200_000, ":1: JSON nested too deeply"),
        (b'{"a": 1}\n{"a": "\xff"}', ":2: byte 16 is not UTF-8"),
        (gzip.compress(b'{"a": 1}' * 99, mtime=0)[:-12], "damaged gzip file"),
        (b"\x1f\x8bnot gzip after all", "damaged gzip file"),
    ],
)
def test_broken_files_are_refused_with_their_line(tmp_path: Path, content: bytes, message: str) -> None:
    """Whatever is wrong, the error is ours and names the file."""
    path = tmp_path / "records.jsonl"
    path.write_bytes(content)
    with pytest.raises(MetricInputError, match=message) as caught:
        read_documents(path)
    assert str(caught.value).startswith(str(path))


def test_missing_file_suggests_the_near_one(tmp_path: Path) -> None:
    """A mistyped name, a folder, and a folder that does not exist."""
    (tmp_path / "captions.jsonl").write_text("{}")
    with pytest.raises(MetricInputError, match=r"no such file; did you mean 'captions.jsonl'"):
        read_documents(tmp_path / "caption.jsonl")
    with pytest.raises(MetricInputError, match="no such file; there is nothing"):
        read_documents(tmp_path / "nowhere" / "caption.jsonl")
    with pytest.raises(MetricInputError, match="cannot be read"):
        read_documents(tmp_path)


def test_unpacking_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that unpacks to a huge one is refused before it fills the memory."""
    monkeypatch.setattr(documents, "_MOST_BYTES", 1000)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b" " * 1001, mtime=0))
    with pytest.raises(MetricInputError, match="unpacks to more than"):
        read_documents(tmp_path / "bomb.gz")


@pytest.mark.parametrize(
    ("value", "identifier"),
    [(42, "42"), ("42", "42"), ("000042", "42"), (" 42 ", "42"), (0, "0"), ("00", "0"), ("a01", "a01")],
)
def test_identifiers(value: object, identifier: str) -> None:
    """Numbers and texts meet; only the zeros in front of a number go."""
    assert Document({"id": value}, "f:1").identifier("id") == identifier


@pytest.mark.parametrize("value", [True, None, 4.0, [1], {}, "", " "])
def test_identifiers_refused(value: object) -> None:
    """What is neither a whole number nor a text is no id."""
    with pytest.raises(MetricInputError, match="f:1, field 'id': expected a whole number or a text, found"):
        Document({"id": value}, "f:1").identifier("id")


def test_other_digits_stay() -> None:
    """Digits of other scripts are texts: dropping a zero there would be a guess."""
    assert canonical_id("٠٤٢") == "٠٤٢"
