"""The quarantine file: rows that were left out, each with the reason, so that nothing disappears unseen."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from prefalign.data.atomic import atomic_path
from prefalign.data.canonical import record_to_dict
from prefalign.interfaces.errors import PrefalignError, RecordError
from prefalign.interfaces.record import PreferenceRecord
from prefalign.interfaces.source import RecordSource

SUFFIX = ".quarantine.jsonl"


def quarantine_path(name: str, beside: Path, chosen: Path | None = None) -> Path:
    """The file `<name>.quarantine.jsonl`.

    Args:
        name: name of the source.
        beside: the folder of the source.
        chosen: where the user wants it: a file ending in `.jsonl`, or a folder.
    """
    if chosen is not None and chosen.suffix == ".jsonl":
        return chosen
    return (beside if chosen is None else chosen) / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}{SUFFIX}"


class Quarantine:
    """Writes refused rows down while it is open, in the place of what an earlier run of the same stage wrote.

    Left by an exception, it changes nothing. Without refused rows there is no file.

    Args:
        path: the file, a JSON line per row: `stage`, `where`, `id`, `field`, `problem` and `row`.
        stage: who refuses: `reading`, or a later stage such as `encoding`; stages share the file.
    """

    def __init__(self, path: Path, stage: str) -> None:
        self.path, self.stage = path, stage
        self.count = 0
        self._open = ExitStack()
        self._file: IO[str] | None = None

    def write(self, row: Any, error: RecordError) -> None:
        """Put a record, or a row that did not become one, into quarantine."""
        record_id = error.record_id
        if isinstance(row, PreferenceRecord):
            record_id, row = row.id, record_to_dict(row)
        entry = {"stage": self.stage, "where": error.where, "id": record_id, "field": error.field}
        entry |= {"problem": error.problem, "row": row}
        if self._file is None:
            self._file = self._begin()
        self._file.write(json.dumps(entry, ensure_ascii=False, default=_spell) + "\n")
        self.count += 1

    def _begin(self) -> IO[str]:
        others = self._of_other_stages()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._open.enter_context(atomic_path(self.path))
            file = self._open.enter_context(partial.open("w", encoding="utf-8", errors="backslashreplace"))
        except OSError as error:
            problem = f"the quarantine file {str(self.path)!r} cannot be written: {error.strerror}"
            raise PrefalignError(f"{problem}; name another place for it") from error
        file.writelines(f"{line}\n" for line in others)
        return file

    def __enter__(self) -> Quarantine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._file is None and self.path.is_file():
            others = self._of_other_stages()
            if others:
                self._file = self._begin()
            else:
                self.path.unlink()
        self._open.__exit__(kind, error, trace)

    def _of_other_stages(self) -> list[str]:
        try:
            lines = self.path.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
        except OSError:
            return []
        kept = []
        for line in lines:
            try:
                stage = json.loads(line)["stage"]
            except (ValueError, KeyError, TypeError):
                problem = f"{str(self.path)!r} exists and is no quarantine file"
                raise PrefalignError(f"{problem}; name another place for it") from None
            if stage != self.stage:
                kept.append(line)
        return kept


def write_quarantine(
    source: RecordSource, refused: Iterable[tuple[PreferenceRecord, RecordError]], chosen: Path | None = None
) -> Path:
    """Put records of an open source into quarantine that a later stage, the model's codec, cannot use.

    Returns:
        The file they were written to: beside the source's own files, or where `chosen` says.
    """
    path = quarantine_path(source.name, getattr(source, "folder", None) or Path.cwd(), chosen)
    with Quarantine(path, "encoding") as quarantine:
        for record, error in refused:
            quarantine.write(record, error)
    return path


def _spell(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)
