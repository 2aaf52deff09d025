"""JSON files as people have them: plain or gzipped, one record a line, one after the other, or in an array."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from prefalign_vision_llm.metrics.functional.errors import MetricInputError, hint

_GZIP_MAGIC = b"\x1f\x8b"
_SPACE = re.compile(r"[ \t\r\n]*")
_MOST_BYTES = 1 << 30  # a gzip file of a megabyte can unpack to a thousand


@dataclass(frozen=True)
class Document:
    """One JSON value of a file and the place where it starts.

    Attributes:
        value: the parsed value.
        where: `FILE:LINE`, for messages.
    """

    value: Any
    where: str

    def text(self, key: str) -> str:
        """Return the text under `key`."""
        value = self._get(key)
        if not isinstance(value, str):
            self._fail(key, "a text", value)
        return value

    def identifier(self, key: str) -> str:
        """Return the whole number or text under `key` as text, without leading zeros: 42, "42" and "000042" are one."""
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).strip():
            self._fail(key, "a whole number or a text", value)
        return canonical_id(str(value))

    def mapping(self) -> dict[str, Any]:
        """Return the value, which has to be a JSON object."""
        if not isinstance(self.value, dict):
            raise MetricInputError(f"{self.where}: expected a JSON object, found {shown(self.value)}")
        return self.value

    def _get(self, key: str) -> object:
        record = self.mapping()
        if key not in record:
            raise MetricInputError(f"{self.where}, field {key!r}: missing; {hint(key, record)}")
        return record[key]

    def _fail(self, key: str, expected: str, found: object) -> NoReturn:
        raise MetricInputError(f"{self.where}, field {key!r}: expected {expected}, found {shown(found)}")


def canonical_id(identifier: str) -> str:
    """Drop surrounding white space and, from a number, leading zeros (COCO pads image ids in file names)."""
    identifier = identifier.strip()
    return identifier.lstrip("0") or "0" if identifier.isascii() and identifier.isdigit() else identifier


def shown(value: object) -> str:
    """Describe a JSON value in an error message, in at most about 60 characters."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_documents(path: str | Path) -> list[Document]:
    """Read all JSON values of a file, which may hold JSON Lines, values one after the other, or one array of them.

    Args:
        path: a UTF-8 file, plain or gzipped; the content decides, not the name.

    Raises:
        MetricInputError: the file is missing, unreadable, over 1 GiB, damaged or holds no value; the message names the
            line.
    """
    text = _read_text(Path(path))
    documents = list(_parse(text, str(path)))
    if not documents:
        raise MetricInputError(f"{path}: the file is empty; expected JSON records")
    return documents


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        with gzip.open(path) if packed else path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        beside = [entry.name for entry in path.parent.glob("*")]  # nothing where the folder is missing or closed
        raise MetricInputError(f"{path}: no such file; {hint(path.name, beside)}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MetricInputError(f"{path}: damaged gzip file ({error}); was writing it cut off?") from None
    except OSError as error:
        raise MetricInputError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(data) > _MOST_BYTES:
        raise MetricInputError(f"{path}: unpacks to more than {_MOST_BYTES >> 30} GiB; split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MetricInputError(f"{path}:{line}: byte {error.start} is not UTF-8; expected a UTF-8 file") from None


def _parse(text: str, path: str) -> Iterator[Document]:
    position = _skip_space(text, 0)
    in_array = text.startswith("[", position)
    position = _skip_space(text, position + 1) if in_array else position
    line, counted = 1, 0
    while position < len(text) and not (in_array and text[position] == "]"):
        line, counted = line + text.count("\n", counted, position), position
        where = f"{path}:{line}"
        value, position = _parse_one(text, position, where)
        yield Document(value, where)
        position = _skip_space(text, position)
        if in_array and text.startswith(",", position):
            position = _skip_space(text, position + 1)
        elif in_array and not text.startswith("]", position):
            raise MetricInputError(f"{where}: the array does not go on with ',' or ']' after this element")
    if in_array and (position >= len(text) or _skip_space(text, position + 1) < len(text)):
        problem = "never ends" if position >= len(text) else "ends before the file does"
        raise MetricInputError(f"{path}: the array {problem}; expected one array and nothing behind it")


def _parse_one(text: str, start: int, where: str) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        lines_on = text.count("\n", start, error.pos)
        column = error.pos - text.rfind("\n", 0, error.pos)
        place = f"column {column}" + (f" of the line {lines_on} further down" if lines_on else "")
        raise MetricInputError(f"{where}: broken or half a JSON record ({error.msg}, {place})") from None
    except RecursionError:
        raise MetricInputError(f"{where}: JSON nested too deeply; expected flat records") from None
    except ValueError as error:  # repeated keys, NaN, numbers of thousands of digits
        raise MetricInputError(f"{where}: {error}") from None


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {repeated!r} stands twice in one JSON object; keep one")
    return record


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON; expected a number, a text or null")


_DECODER = json.JSONDecoder(object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
