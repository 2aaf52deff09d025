"""The files in which BATON's labels lie: lines of JSON, mostly in spite of a name in `.json`, arrays, or one object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefalign.data.fields import Fields
from prefalign.data.files import locate
from prefalign.data.jsonl import decode_line
from prefalign.data.rows import Rows
from prefalign.interfaces import PrefalignError, RecordError

HUMAN, MODEL = "feedback", "SED"
"""The fields of people's labels and of the reward model's."""

STATED = re.compile(r"([23])label")
"""How the names of sets and files say what was asked."""

_GROUPED = "grouped_ratings"


def open_rows(path: str | Path) -> tuple[Rows, str, Path]:
    """The rows of a file, its name and its folder. A `.json` file may hold an array, lines, or one grouped object."""
    files = locate(str(path))
    ((file, container), *more) = files.files
    if more or container not in ("json", "jsonl", "jsonl.gz"):
        raise PrefalignError(f"{files.name}: expected a file of labels ending in .jsonl, .jsonl.gz or .json")
    if container == "json":
        with open(file, "rb") as opened:
            first = opened.readline()
            whole = first + opened.read() if first.strip() == b"{" or _GROUPED.encode() in first else b""
        if whole:
            return GroupedRows(whole, files.name), files.name, files.folder
        if first.lstrip().startswith(b"{"):
            files = locate(f"jsonl:{path}")
    return files.rows(), files.name, files.folder


class GroupedRows:
    """An object of captions, each an object of files and labels, as rows."""

    def __init__(self, content: bytes, name: str) -> None:
        self.name = name
        stated = STATED.search(name)
        try:
            groups = Fields(decode_line(content)).child(_GROUPED)
            self._rows = [
                {"captions": caption, "location": file, HUMAN: label, "dataset": stated and stated[0]}
                for caption in groups
                for file, _, label in groups.members(caption)
            ]
        except RecordError as error:
            raise error.located(name) from error
        if not self._rows:
            raise RecordError("there are no labels in it", field=_GROUPED, where=name)

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, index: int) -> Mapping[str, Any]:
        return self._rows[index]

    def place(self, index: int) -> str:
        return f"{self.name}, clip {self._rows[index]['location']!r}"

    def raw(self, index: int) -> Any:
        return self._rows[index]
