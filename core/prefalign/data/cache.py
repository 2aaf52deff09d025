"""What opening a data file costs once and is kept: line indices, unpacked rows, and the outcome of its validation.

Entries are keyed by content, so that a file that is touched or moved is not checked again. A file's content hash is
itself remembered by path, size and modification time, so that an unchanged file is not even read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

FOLDER_VARIABLE = "PREFALIGN_CACHE"
"""Environment variable that names the cache's folder."""

# Raised when what an entry holds, or what validation accepts, changes between releases.
_EDITION = 1

# File systems and clocks may be coarse: a file written just before it was hashed may have changed since, unnoticed.
_SETTLED_NS = 2 * 10**9


def cache_folder() -> Path:
    """Where entries are kept: `$PREFALIGN_CACHE`, or `prefalign` in the user's cache folder."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prefalign"


def content_hash(path: Path) -> str:
    """SHA-256 of a file, from memory where size and modification time say that it is unchanged."""
    status = path.stat()
    note = cache_folder() / "files" / f"{_short(str(path.resolve()))}.json"
    try:
        known = json.loads(note.read_text())
        same = known["size"] == status.st_size and known["mtime_ns"] == status.st_mtime_ns
        if same and known["hashed_at_ns"] - status.st_mtime_ns > _SETTLED_NS:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    now = time.time_ns()
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    facts = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "hashed_at_ns": now, "sha256": digest}
    note.parent.mkdir(parents=True, exist_ok=True)
    partial = note.with_name(f".{note.name}.{os.getpid()}")
    partial.write_text(json.dumps(facts))
    os.replace(partial, note)
    return digest


def entry(kind: str, key: Sequence[str], make: Callable[[Path], None]) -> Path:
    """The folder of the entry `key`, filled by `make(folder)` if there is none yet.

    Two processes that make the same entry at once do not disturb one another: a folder appears under its name when it
    is complete, and the later one is thrown away. An error in `make` leaves nothing behind.
    """
    target = cache_folder() / kind / _short(json.dumps([_EDITION, version("prefalign"), *key]))
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        make(partial)
        os.rename(partial, target)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if not (isinstance(error, OSError) and target.is_dir()):
            raise
    return target


def discard(folder: Path) -> None:
    """Remove an entry that turned out to be out of date."""
    shutil.rmtree(folder, ignore_errors=True)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
