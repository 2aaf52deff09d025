"""Where commands write what they make of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefalign.interfaces import PrefalignError


def target_files(sources: Sequence[Path], folder: Path, suffix: str) -> list[Path]:
    """One file in the folder for each source, named after it; the folder is made.

    Raises:
        PrefalignError: if two sources would be written to one file, or the folder cannot be made.
    """
    taken: dict[str, Path] = {}
    for source in sources:
        if (other := taken.setdefault(source.stem, source)) is not source:
            raise PrefalignError(
                f"{other} and {source} would both be written to {folder / source.stem}{suffix}; "
                "give them in two calls with a folder each"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PrefalignError(f"cannot make the folder {folder}: {error}") from error
    return [folder / f"{source.stem}{suffix}" for source in sources]


__all__ = ["target_files"]
