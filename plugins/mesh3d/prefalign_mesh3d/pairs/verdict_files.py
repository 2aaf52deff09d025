"""Files of people's verdicts, read line by line.

CSV with a header, or JSON lines, of the columns

    record     id of the record
    a, b       indices of two of its responses, from 0
    verdict    `a`, `b`, `tie`, or `neither` where both are too bad to be compared
    annotator  who judged; may be left out

Other columns, such as a comment or a time, are not read.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from prefalign.data.fields import as_text, expected
from prefalign.data.jsonl import decode_line
from prefalign.interfaces import PrefalignError, RecordError, unknown_name

Word = Literal["a", "b", "tie", "neither"]

REQUIRED = ("record", "a", "b", "verdict")
COLUMNS = (*REQUIRED, "annotator")

#: Bytes of the longest line that is read; a verdict needs a hundred.
MAX_LINE = 2**16

_INDEX = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class HumanVerdict:
    """What one person said about two responses of a record.

    Attributes:
        record: id of the record.
        a, b: indices of the responses, not equal.
        verdict: `a`, `b`, `tie` or `neither`.
        annotator: who judged, None where the file does not say.
        place: file and line, for messages.
    """

    record: str
    a: int
    b: int
    verdict: Word
    annotator: str | None
    place: str


def read_verdict_file(path: Path) -> Iterator[HumanVerdict]:
    """The verdicts of a `.csv` or `.jsonl` file, in its order; blank lines are passed over.

    Raises:
        PrefalignError: for a file that is not there, or of another kind.
        RecordError: for a line that is no verdict, with its number.
    """
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows}
    if path.suffix not in readers:
        raise PrefalignError(f"{path.name!r}: expected a file of verdicts that ends in .csv or .jsonl")
    if not path.is_file():
        raise PrefalignError(f"{str(path)!r} is not a file; expected people's verdicts, as .csv or .jsonl")
    for number, row in readers[path.suffix](path):
        place = f"{path.name}, line {number}"
        try:
            yield _verdict(row, place)
        except RecordError as error:
            raise error if error.where else error.located(place, _shown_id(row)) from None


def _verdict(row: Mapping[str, Any], place: str) -> HumanVerdict:
    record, verdict = as_text(row["record"], "record"), as_text(row["verdict"], "verdict")
    annotator = row.get("annotator")
    who = None if annotator is None or annotator == "" else as_text(annotator, "annotator")
    if not record:
        raise RecordError("expected the id of a record, got nothing", field="record")
    if verdict not in get_args(Word):
        raise RecordError(str(unknown_name("verdict", verdict, get_args(Word))), field="verdict")
    a, b = _index(row["a"], "a"), _index(row["b"], "b")
    if a == b:
        raise RecordError(f"expected two different responses, got {a} twice", field="b")
    return HumanVerdict(record, a, b, cast(Word, verdict), who, place)


def _check_columns(given: list[str]) -> None:
    """Refuse a row without a needed column, or with a near miss of one that it lacks."""
    others = [name for name in given if name not in COLUMNS]
    for name in COLUMNS:
        if name in given:
            continue
        if near := difflib.get_close_matches(name, others, n=1, cutoff=0.7):
            raise RecordError(str(unknown_name("column", near[0], COLUMNS)), field=near[0])
        if name in REQUIRED:
            raise RecordError(f"the column is missing; found {', '.join(map(repr, given)) or 'none'}", field=name)


def _index(value: Any, field: str) -> int:
    # CSV knows text only; int() would also take "1_0", "+1" and digits of other scripts.
    if isinstance(value, str) and _INDEX.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9:
        return value
    raise expected("the index of a response, from 0", value, field)


def _shown_id(row: Mapping[str, Any]) -> str | None:
    found = row.get("record")
    return found if isinstance(found, str) and found else None


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        row: Mapping[str, Any] = {}
        try:
            row = decode_line(line)
            _check_columns(list(row))
        except RecordError as error:
            raise error.located(f"{path.name}, line {number}", _shown_id(row)) from None
        yield number, row


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.reader(_text(path), strict=True)
    header: list[str] | None = None
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            place = f"{path.name}, line {reader.line_num}"
            raise RecordError(f"expected CSV: {error}", field="row", where=place) from None
        if cells is None:
            break
        place = f"{path.name}, line {reader.line_num}"
        if not cells:
            continue
        if header is None:
            header = cells
            if twice := [name for name in cells if cells.count(name) > 1]:
                raise RecordError("the column stands twice in the header", field=twice[0], where=place)
            try:
                _check_columns(header)
            except RecordError as error:
                raise error.located(place) from None
        elif len(cells) != len(header):
            problem = f"expected {len(header)} fields, as the header has, got {len(cells)}"
            raise RecordError(problem, field="row", where=place)
        else:
            yield reader.line_num, dict(zip(header, cells, strict=True))
    if header is None:
        raise RecordError(f"expected a header with {', '.join(REQUIRED)}", field="header", where=path.name)


def _text(path: Path) -> Iterator[str]:
    for number, line in enumerate(_lines(path), 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            problem = f"expected UTF-8, got byte 0x{line[error.start]:02x} at {error.start}"
            raise RecordError(problem, field="row", where=f"{path.name}, line {number}") from None


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file with their ends, none of them held beyond the limit."""
    with open(path, "rb") as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                problem = f"the line is longer than {MAX_LINE} bytes; is this a file of verdicts?"
                raise RecordError(problem, field="row", where=f"{path.name}, line {number}")
            yield line


__all__ = ["COLUMNS", "MAX_LINE", "REQUIRED", "HumanVerdict", "Word", "read_verdict_file"]
