"""JSON lines in random access: an index of byte offsets is made once, and a row is read when it is asked for."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from prefalign.data.fields import expected
from prefalign.interfaces.errors import RecordError

MAX_LINE = 64 * 2**20
"""Bytes of the longest line that is read. A record that needs more should keep its media in files."""

_BLOCK = 2**18
_SPACE = re.compile(r"[ \t\r\n]*")


class JsonlRows:
    """The lines of a JSONL file that are not blank.

    Args:
        path: the file.
        index: the index that `index_lines` made of it.
        name: how messages call the file.
        unit: what messages call a row; files made from a JSON array count elements.
    """

    def __init__(self, path: Path, index: Path, name: str, unit: str = "line") -> None:
        self.path, self.name, self.unit = path, name, unit
        self._index_path = index
        self._index: np.ndarray = np.load(index, mmap_mode="r", allow_pickle=False)
        self._file: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None, "_index": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._index = np.load(self._index_path, mmap_mode="r", allow_pickle=False)

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            os.close(self._file)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self._index)

    def place(self, index: int) -> str:
        return f"{self.name}, {self.unit} {self._index[index, 2]}"

    def _line(self, index: int) -> bytes:
        offset, length, _ = map(int, self._index[index])
        if length > MAX_LINE:
            problem = f"expected a line of at most {MAX_LINE} bytes, got {length}; keep media in files of their own"
            raise RecordError(problem, field="row")
        if self._file is None:
            self._file = os.open(self.path, os.O_RDONLY)
        # Forked workers share the descriptor, and with it the position that read() would move.
        return os.pread(self._file, length, offset)

    def row(self, index: int) -> Mapping[str, Any]:
        return decode_line(self._line(index))

    def raw(self, index: int) -> Any:
        try:
            return self._line(index).decode(errors="backslashreplace").strip()
        except RecordError:
            return None


def decode_line(line: bytes) -> Mapping[str, Any]:
    """The object that a line of JSON spells.

    Raises:
        RecordError: for invalid UTF-8, broken JSON, a key given twice, or anything but an object.
    """
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(f"expected UTF-8, got byte 0x{line[error.start]:02x} at {error.start}", field="row") from None
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise RecordError("expected a row, got JSON nested too deeply to read", field="row") from None
    except json.JSONDecodeError as error:
        cut = "; the line seems to be cut off" if error.pos >= len(text.rstrip()) - 1 else ""
        raise RecordError(f"expected JSON: {error.msg} at character {error.pos + 1}{cut}", field="row") from None
    except RecordError:
        raise
    except ValueError as error:
        raise RecordError(f"expected JSON: {error}", field="row") from None
    if not isinstance(value, dict):
        raise expected("an object", value, "row")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RecordError("the key stands twice in one object", field=twice)
    return found


def index_lines(path: Path, target: Path) -> None:
    """Write (offset, length, line number) of every line that is not blank to `target`, an (N, 3) uint64 array."""
    found = array("Q")
    with open(path, "rb") as file:
        offset, number = 0, 0
        start, blank = 0, True
        while piece := file.readline(_BLOCK):  # a huge line comes in several pieces
            offset += len(piece)
            blank = blank and not piece.strip()
            if piece.endswith(b"\n") or len(piece) < _BLOCK:
                number += 1
                if not blank:
                    found.extend((start, offset - start, number))
                start, blank = offset, True
        if offset > start and not blank:
            found.extend((start, offset - start, number + 1))
    np.save(target, np.frombuffer(found, dtype=np.uint64).reshape(-1, 3) if found else np.empty((0, 3), np.uint64))


def unpack_gzip(source: Path, target: Path, name: str) -> None:
    """Write the content of a `.gz` file to `target`, since nothing can be sought in a compressed stream."""
    try:
        with gzip.open(source, "rb") as packed, open(target, "wb") as out:
            while block := packed.read(_BLOCK):
                out.write(block)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RecordError(f"expected gzip: {error}", field="file", where=name) from None


def unpack_array(source: Path, target: Path, name: str) -> None:
    """Write the elements of a JSON array to `target`, one a line, without holding the array."""
    try:
        with open(source, encoding="utf-8-sig") as file, open(target, "w", encoding="utf-8") as out:
            for element in _elements(file):
                # Strings cannot hold raw line breaks, so all that stand in the text are layout.
                out.write(element.replace("\n", " ").replace("\r", " ") + "\n")
    except (ValueError, RecursionError) as error:
        raise RecordError(f"expected a JSON array of objects: {error}", field="file", where=name) from None


def _elements(file: IO[str]) -> Iterator[str]:
    """The texts of a JSON array's elements, read block by block."""
    decoder = json.JSONDecoder()
    buffer, position = file.read(_BLOCK), 0

    def skip(position: int) -> int:
        space = _SPACE.match(buffer, position)
        assert space is not None
        return space.end()

    position = skip(0)
    if buffer[position : position + 1] != "[":
        raise ValueError(f"the file begins with {buffer[:20]!r}" if buffer else "the file is empty")
    position = skip(position + 1)
    wants_comma = False
    while True:
        start = position
        if buffer[position : position + 1] == "]":
            if buffer[skip(position + 1) :] or file.read(_BLOCK).strip():
                raise ValueError("something follows the array")
            return
        if wants_comma and buffer[position : position + 1] == ",":
            position = skip(position + 1)
        elif wants_comma and position < len(buffer):
            raise ValueError(f"expected a comma, got {buffer[position : position + 20]!r}")
        try:
            _, end = decoder.raw_decode(buffer, position)
            problem = "the array is not closed"
        except json.JSONDecodeError as error:
            end, problem = len(buffer), error.msg
        if end < len(buffer):  # what reaches the end of the buffer may go on behind it
            yield buffer[position:end]
            position, wants_comma = skip(end), True
            continue
        if len(buffer) - start > MAX_LINE:
            raise ValueError(f"an element is longer than {MAX_LINE} characters, or broken: {problem}")
        more = file.read(max(_BLOCK, len(buffer) - start))
        if not more:
            raise ValueError(f"the file is cut off or broken: {problem}")
        buffer = buffer[start:] + more
        position = skip(0)
