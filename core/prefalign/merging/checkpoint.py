"""A model's folder: which of its files hold the weights, and what they hold."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign.merging.layout import Entry, some
from prefalign.merging.weight_file import WeightFile

PEFT_FILE, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
DIFFUSERS_ADAPTER = "pytorch_lora_weights.safetensors"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")

_WHOLE = re.compile(r"(model|diffusion_pytorch_model)(\.[\w-]+)?\.safetensors")
_INDEX = re.compile(r"(model|diffusion_pytorch_model)\.safetensors\.index(\.[\w-]+)?\.json")
_SHARD = re.compile(r"-\d+-of-\d+\.safetensors$")


@dataclass(frozen=True)
class Checkpoint:
    """Weights in a folder.

    Attributes:
        folder: where.
        files: the files that hold them, by name.
        index: name of the file that says which shard holds which tensor, if there are several.
    """

    folder: Path
    files: dict[str, WeightFile]
    index: str | None = None

    @property
    def title(self) -> str:
        """How messages call it."""
        return str(self.folder)

    @property
    def is_adapter(self) -> bool:
        """Whether it is a low-rank adapter."""
        return next(iter(self.files)) in (PEFT_FILE, DIFFUSERS_ADAPTER)

    @cached_property
    def layout(self) -> dict[str, Entry]:
        """All tensors."""
        return {name: entry for file in self.files.values() for name, entry in file.layout.items()}

    @cached_property
    def _holders(self) -> dict[str, WeightFile]:
        return {name: file for file in self.files.values() for name in file.layout}

    def read(self, name: str) -> Tensor:
        """One tensor."""
        return self._holders[name].read(name)


def open_checkpoint(folder: Path) -> Checkpoint:
    """Find the weights that Transformers, Diffusers, peft or `Export` wrote.

    Raises:
        PrefalignError: for a folder without safetensors weights, with several sets of them, with pickled ones only, or
            with an index that does not fit its shards; each message says what to do.
    """
    if not folder.is_dir():
        raise PrefalignError(f"there is no folder {str(folder)!r}; expected one with safetensors weights")
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    if PEFT_CONFIG in names or PEFT_FILE in names:
        missing = [name for name in (PEFT_CONFIG, PEFT_FILE) if name not in names]
        if missing:
            raise PrefalignError(f"{folder}: an adapter of peft without {missing[0]}")
        return _whole(folder, PEFT_FILE)
    if DIFFUSERS_ADAPTER in names:
        return _whole(folder, DIFFUSERS_ADAPTER)
    found = [name for name in names if _INDEX.fullmatch(name)]
    found += [name for name in names if _WHOLE.fullmatch(name) and not _SHARD.search(name)]
    # The one file of a model that names it otherwise.
    found = found or [name for name in names if name.endswith(".safetensors")]
    if len(found) > 1:
        raise PrefalignError(f"{folder} has several sets of weights: {some(found)}; leave one of them in the folder")
    if not found:
        raise PrefalignError(f"{folder} has no safetensors weights{_way_out(folder, names)}")
    return _sharded(folder, found[0]) if _INDEX.fullmatch(found[0]) else _whole(folder, found[0])


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        PrefalignError: if it holds something else.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise PrefalignError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise PrefalignError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def _whole(folder: Path, name: str) -> Checkpoint:
    return Checkpoint(folder, {name: WeightFile(folder / name)})


def _sharded(folder: Path, index: str) -> Checkpoint:
    holders = read_json(folder / index).get("weight_map")
    if not isinstance(holders, dict) or not holders:
        raise PrefalignError(f"{folder / index}: expected a weight_map from tensors to files")
    for shard in holders.values():
        # A path in here could lead to any file of the machine.
        if not isinstance(shard, str) or Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise PrefalignError(f"{folder / index}: expected names of safetensors files beside it, got {shard!r}")
        if not (folder / shard).is_file():
            raise PrefalignError(f"{folder / index}: the shard {shard} is missing")
    made = Checkpoint(folder, {name: WeightFile(folder / name) for name in sorted(set(holders.values()))}, index)
    wrong = [name for name, shard in holders.items() if name not in made.files[shard].layout]
    wrong += [name for name in made.layout if name not in holders]
    if wrong or sum(len(file.layout) for file in made.files.values()) != len(holders):
        raise PrefalignError(f"{folder / index} and its shards disagree on where {some(wrong) or 'tensors'} are")
    return made


def _way_out(folder: Path, names: list[str]) -> str:
    if "model_index.json" in names:
        parts = sorted(path.name for path in folder.iterdir() if path.is_dir())
        return f": it is a pipeline of Diffusers; merge the folders of a component, such as {some(parts)}"
    pickled = [name for name in names if name.endswith(PICKLED)]
    if pickled:
        return (
            f", and {pickled[0]} is a pickle, which can run code when it is opened. Where you trust it, load it once "
            "with from_pretrained and save_pretrained it to another folder, which writes safetensors"
        )
    return "; expected model.safetensors, diffusion_pytorch_model.safetensors, their shards, or an adapter's file"
