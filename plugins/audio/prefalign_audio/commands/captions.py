"""Captions for the files of a command: one for all, or a JSON object from file names to captions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from prefalign.interfaces import PrefalignError
from prefalign.interfaces.errors import unknown_name


def captions_for(files: Sequence[Path], caption: str | None, table: str | None) -> list[str]:
    """The caption of each file.

    Args:
        files: paths as they were given.
        caption: one caption for all of them.
        table: path of a JSON object `{"dog.wav": "a dog barks", …}`; a key is a file's path as given, or its name.

    Raises:
        PrefalignError: the table cannot be read, holds something else, or lacks a file.
    """
    if table is None:
        return [caption or ""] * len(files)
    try:
        found = json.loads(Path(table).read_text(encoding="utf-8"))
    except OSError as error:
        raise PrefalignError(f"{table}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise PrefalignError(f"{table}: is no JSON ({error})") from None
    if not isinstance(found, dict) or not all(isinstance(text, str) and text.strip() for text in found.values()):
        raise PrefalignError(
            f'{table}: expected a JSON object from file names to captions, {{"dog.wav": "a dog barks"}}'
        )
    captions = []
    for file in files:
        text = found.get(str(file), found.get(file.name))
        if text is None:
            raise PrefalignError(f"{table}: no caption; {unknown_name('file', file.name, found)}")
        captions.append(text)
    return captions
