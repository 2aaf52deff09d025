"""What lies beside the weights: configs that must agree, and files that go along."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prefalign.interfaces import PrefalignError
from prefalign.merging.checkpoint import PICKLED, Checkpoint, read_json
from prefalign.merging.layout import some

CONFIG, PROVENANCE = "config.json", "merge.json"

_OTHER_WEIGHTS = (*PICKLED, ".h5", ".msgpack", ".onnx", ".gguf")
# A card describes one model's training, and is none of the merge's.
_LEFT = {"README.md", PROVENANCE}
_VERSIONS = {"transformers_version", "_diffusers_version", "_name_or_path"}
_ARCHITECTURE = {"model_type", "architectures", "_class_name"}


def check_configs(folders: Sequence[Path]) -> list[str]:
    """Compare each `config.json` with the first; returns what is worth a warning.

    Whole numbers (widths, heads, layers), lists of them and the names of the architecture decide the shapes; all else,
    ids of special tokens included, changes what the same weights compute, and the first model's is kept.

    Raises:
        PrefalignError: for configs that differ in what decides the shapes.
    """
    if not (folders[0] / CONFIG).is_file():
        return []
    first = dict(_flat(read_json(folders[0] / CONFIG)))
    warnings = []
    for folder in folders[1:]:
        if not (folder / CONFIG).is_file():
            warnings.append(f"{folder} has no {CONFIG}; that of {folders[0]} is kept")
            continue
        other = dict(_flat(read_json(folder / CONFIG)))
        differing = [
            key
            for key in sorted(first.keys() | other.keys())
            if first.get(key) != other.get(key) and key.rpartition(".")[2] not in _VERSIONS
        ]
        decisive = [key for key in differing if _decides(key, first.get(key)) or _decides(key, other.get(key))]
        if decisive:
            shown = "; ".join(f"{key} is {first.get(key)!r} and {other.get(key)!r}" for key in decisive[:3])
            raise PrefalignError(f"{folders[0]} and {folder} are of different architectures: in {CONFIG}, {shown}")
        if differing:
            warnings.append(f"{folder / CONFIG} differs in {some(differing)}; that of {folders[0]} is kept")
    return warnings


def copy_companions(
    checkpoint: Checkpoint, others: Sequence[Path], out: Path, without: Sequence[str] = ()
) -> list[str]:
    """Copy what lies beside the weights (config, tokenizer, code); returns what is worth a warning.

    Model cards, pickles, weights in other formats, hidden files and sub-folders stay behind.

    Args:
        checkpoint: whose folder is copied from.
        others: folders that the copied files are compared with.
        out: folder to copy to.
        without: further names to leave out.

    Raises:
        PrefalignError: for a link that leads out of the folder, which could carry any file of the machine along.
    """
    warnings = []
    skipped = {*checkpoint.files, *_LEFT, *without}
    for path in sorted(checkpoint.folder.iterdir()):
        name = path.name
        if name in skipped or name.startswith(".") or name.endswith(_OTHER_WEIGHTS) or not path.is_file():
            continue
        if path.is_symlink() and not _stays(path):
            raise PrefalignError(f"{path} is a link out of its folder; put the file itself there, or take it away")
        shutil.copyfile(path, out / name)
        differing = [
            folder
            for folder in others
            if name not in (CONFIG, checkpoint.index)
            and (folder / name).is_file()
            and not filecmp.cmp(path, folder / name, shallow=False)
        ]
        if differing:
            warnings.append(f"{name} of {some(map(str, differing))} differs; that of {checkpoint.folder} is kept")
    return warnings


def _stays(link: Path) -> bool:
    """Whether a link stays in its folder, or leads to the blobs of the hub's cache that its folder is a snapshot in."""
    target, folder = link.resolve(), link.parent.resolve()
    blobs = folder.parent.parent / "blobs"
    return folder in target.parents or (folder.parent.name == "snapshots" and blobs in target.parents)


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _decides(key: str, value: Any) -> bool:
    name = key.rpartition(".")[2]
    if name.endswith(("_token_id", "_token_ids")):
        return False
    numbers = value if isinstance(value, list) else [value]
    return name in _ARCHITECTURE or any(isinstance(one, int) and not isinstance(one, bool) for one in numbers)
