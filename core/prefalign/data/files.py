"""Which files a name stands for, what container each has, and their rows in random access."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prefalign.data.arrow import ArrowRows, unpack_parquet
from prefalign.data.cache import content_hash, entry
from prefalign.data.fields import near_names
from prefalign.data.fragments import FragmentRows, unpack_fragments
from prefalign.data.jsonl import JsonlRows, index_lines, unpack_array, unpack_gzip
from prefalign.data.rows import JoinedRows, Rows
from prefalign.interfaces.errors import PrefalignError, RecordError

SUFFIXES = {
    ".jsonl": "jsonl",
    ".jsonl.gz": "jsonl.gz",
    ".json": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".npz": "npz",
}
_SCHEME = re.compile(r"(jsonl|json|parquet|arrow|npz):(?!//)(.+)")
_SHARD = re.compile(r"(.+?)-\d+(-of-\d+)?\.parquet")


@dataclass(frozen=True)
class DataFiles:
    """The files behind a name.

    Attributes:
        name: how messages call the whole.
        folder: the dataset's folder, to which media paths are relative.
        files: each file with its container.
    """

    name: str
    folder: Path
    files: tuple[tuple[Path, str], ...]

    def hashes(self) -> list[str]:
        """Content hash of each file."""
        return [content_hash(path) for path, _ in self.files]

    def rows(self) -> Rows:
        """The rows of all files, unpacked and indexed in the cache where random access needs it."""
        parts = [_open(path, container) for path, container in self.files]
        return parts[0] if len(parts) == 1 else JoinedRows(parts)


def locate(uri: str, split: str | None = None) -> DataFiles:
    """The files that `uri` names.

    Args:
        uri: a file (`.jsonl`, `.jsonl.gz`, `.json`, `.parquet`, `.arrow`, `.npz`), a folder of Parquet shards, or a
            folder saved by `datasets`. A prefix such as `jsonl:` states the container of a file with another suffix.
        split: which part of a folder that holds several; a single file has no parts, and is taken whole.

    Raises:
        PrefalignError: if there is nothing of the kind.
    """
    scheme = _SCHEME.fullmatch(uri)
    stated, path = (scheme[1], Path(scheme[2])) if scheme and not Path(uri).exists() else (None, Path(uri))
    if path.is_dir():
        return _in_folder(path, split)
    if not path.is_file():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = near_names(path.name, siblings)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise PrefalignError(f"there is no file or folder {str(path)!r}{hint}")
    return DataFiles(path.name, path.parent, ((path, stated or _container(path)),))


def _container(path: Path) -> str:
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return SUFFIXES[suffix]
    hint = "; pickled files are not read, since they can run code" if path.suffix in (".pkl", ".pickle", ".pt") else ""
    known = ", ".join(SUFFIXES)
    raise PrefalignError(f"{path.name}: expected a file ending in {known}, or a prefix such as 'jsonl:'{hint}")


def _in_folder(folder: Path, split: str | None) -> DataFiles:
    if (folder / "dataset_dict.json").is_file():
        splits = _json(folder / "dataset_dict.json").get("splits", [])
        return _in_folder(folder / _choose(folder, split, [str(name) for name in splits]), None)
    if (folder / "state.json").is_file():
        state = _json(folder / "state.json")
        if state.get("_indices_data_files"):
            problem = "the saved dataset is a selection by indices; save it again after flatten_indices()"
            raise PrefalignError(f"{folder.name}: {problem}")
        names = [str(item["filename"]) for item in state.get("_data_files", [])]
        if any(Path(name).name != name for name in names):
            raise PrefalignError(f"{folder.name}: state.json names files outside its folder")
        return DataFiles(folder.name, folder, tuple((folder / name, "arrow") for name in names))
    shards: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.parquet")):
        match = _SHARD.fullmatch(path.name)
        shards.setdefault(match[1] if match else path.stem, []).append(path)
    if not shards:
        raise PrefalignError(f"{str(folder)!r} holds neither Parquet files nor a dataset saved by `datasets`")
    chosen = shards[_choose(folder, split, list(shards))]
    return DataFiles(folder.name, folder, tuple((path, "parquet") for path in chosen))


def _choose(folder: Path, split: str | None, splits: list[str]) -> str:
    """The split that is wanted, or the only one there is."""
    if split in splits:
        return str(split)
    if len(splits) == 1:
        return splits[0]
    wanted = "a split must be named" if split is None else f"there is no split {split!r}"
    raise PrefalignError(f"{str(folder)!r}: {wanted}; it holds {', '.join(splits) or 'none'}")


def _json(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PrefalignError(f"{path.name}: expected JSON: {error}") from None
    if not isinstance(found, dict):
        raise PrefalignError(f"{path.name}: expected a JSON object")
    return found


def _open(path: Path, container: str) -> Rows:
    """The rows of one file."""
    name = path.name
    if container == "arrow":
        return ArrowRows(path, name)
    unpack: dict[str, Callable[[Path], None]] = {
        "jsonl": lambda target: index_lines(path, target / "index.npy"),
        "jsonl.gz": lambda target: _lines(target, lambda out: unpack_gzip(path, out, name)),
        "json": lambda target: _lines(target, lambda out: unpack_array(path, out, name)),
        "parquet": lambda target: unpack_parquet(path, target / "rows.arrow", name),
        "npz": lambda target: unpack_fragments(path, target, name),
    }
    if path.stat().st_size == 0:
        raise RecordError("the file is empty", field="file", where=name)
    kept = entry("rows", [container, content_hash(path)], unpack[container])
    if container == "parquet":
        return ArrowRows(kept / "rows.arrow", name)
    if container == "npz":
        return FragmentRows(kept, name)
    lines = path if container == "jsonl" else kept / "rows.jsonl"
    return JsonlRows(lines, kept / "index.npy", name, unit="element" if container == "json" else "line")


def _lines(target: Path, unpack: Callable[[Path], None]) -> None:
    unpack(target / "rows.jsonl")
    index_lines(target / "rows.jsonl", target / "index.npy")
