"""Folders of models in, a folder of a model out."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Protocol

from safetensors.torch import save_file
from torch import Tensor

from prefalign.data.atomic import atomic_path
from prefalign.data.cache import content_hash
from prefalign.interfaces import PrefalignError
from prefalign.merging.adapters import METADATA, Adapted, Adapter, check_adapters, open_adapter, stack, weight_name
from prefalign.merging.checkpoint import DIFFUSERS_ADAPTER, PEFT_CONFIG, Checkpoint, open_checkpoint
from prefalign.merging.coefficients import Coefficients, coefficients
from prefalign.merging.companions import PROVENANCE, check_configs, copy_companions
from prefalign.merging.layout import Layout, check_layouts
from prefalign.merging.methods import METHODS, Extrapolate, Interpolate, Method, TaskArithmetic
from prefalign.merging.states import Modules, Weights, merge_tensor


class _Source(Protocol):
    """What weights are read from."""

    @property
    def title(self) -> str: ...

    @property
    def layout(self) -> Layout: ...

    def read(self, name: str) -> Tensor: ...


def merge_folders(
    models: Sequence[Path],
    out: Path,
    weights: Weights,
    method: Method | None = None,
    *,
    base: Path | None = None,
    modules: Modules | None = None,
) -> dict[str, Any]:
    """Merge models that Transformers, Diffusers or peft can read into one that they can read.

    Whole models are read and written a tensor at a time, in the shards of the first. Low-rank adapters become, with
    `base`, a whole model, by any method; without, one adapter of the summed rank, which is the same function, by
    interpolation, task arithmetic and extrapolation. Config, tokenizer and further files are the first model's.

    Args:
        models: M folders.
        out: folder to make; one that is there must be empty.
        weights: (M,).
        method: interpolation if not given.
        base: folder of the model that the others were trained from.
        modules: other weights by name pattern; see `Coefficients`.

    Returns:
        What `merge.json` in `out` holds: method, weights, content hashes of all weights read; and `warnings`.

    Raises:
        PrefalignError: as `merge`; for folders that cannot be read or do not belong together; for an `out` in use.
    """
    method, share = method or Interpolate(), coefficients(weights, modules)
    if not models:
        raise PrefalignError("there is nothing to merge: expected at least one model")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise PrefalignError(f"{out} is there and not empty; choose another folder for the merge")
    opened = [open_checkpoint(folder) for folder in models]
    start = open_checkpoint(base) if base else None
    adapted = [checkpoint for checkpoint in opened if checkpoint.is_adapter]
    if start and start.is_adapter:
        raise PrefalignError(f"the base {start.title} is an adapter; give the model that it adapts")
    if adapted and len(adapted) < len(opened):
        whole = next(checkpoint for checkpoint in opened if not checkpoint.is_adapter)
        raise PrefalignError(f"{adapted[0].title} is an adapter and {whole.title} a whole model; merge one kind")
    facts: dict[str, Any] = {
        "prefalign": importlib.metadata.version("prefalign"),
        "method": _described(method),
        "weights": list(share.weights),
        "modules": {pattern: list(values) for pattern, values in share.modules.items()},
        "models": [_hashed(checkpoint) for checkpoint in opened],
        "base": _hashed(start) if start else None,
    }
    with _new_folder(out) as partial:
        if not adapted:
            facts["form"] = "whole model"
            warnings = _merge_whole(opened, start, partial, share, method, opened[0])
        elif start:
            facts["form"] = "whole model from adapters"
            adapters = _open_adapters(opened)
            warnings = _merge_whole([Adapted(start, one) for one in adapters], start, partial, share, method, start)
        else:
            facts["form"] = "adapter of the summed rank"
            warnings = _merge_adapters(_open_adapters(opened), partial, share, method)
        _write_text(partial / PROVENANCE, json.dumps(facts, ensure_ascii=False, indent=2) + "\n")
    return {**facts, "warnings": warnings}


def _merge_whole(
    sources: Sequence[_Source],
    base: Checkpoint | None,
    out: Path,
    share: Coefficients,
    method: Method,
    template: Checkpoint,
) -> list[str]:
    """Write the merge in the template's files."""
    if method.needs_base and base is None:
        raise PrefalignError(f"{_described(method)['name']} needs the base that the models were trained from")
    everything: list[_Source] = [*sources, *([base] if base else [])]
    folders = list(dict.fromkeys([template.folder, *(s.folder for s in everything if isinstance(s, Checkpoint))]))
    warnings = check_configs(folders)
    check_layouts([source.layout for source in everything], [source.title for source in everything])
    share.check(len(sources), template.layout, method.convex)
    dtypes = {name: entry.dtype for name, entry in template.layout.items()}

    def make(name: str) -> Tensor:
        tensors = [source.read(name) for source in sources]
        start = base.read(name).to(tensors[0].dtype) if base and method.needs_base else None
        return merge_tensor(name, tensors, start, share.of(name), method, dtypes[name])

    for name, file in template.files.items():
        with atomic_path(out / name) as partial:
            file.write_like(partial, make)
    return warnings + copy_companions(template, folders[1:], out)


def _open_adapters(checkpoints: Sequence[Checkpoint]) -> list[Adapter]:
    adapters = [open_adapter(checkpoint) for checkpoint in checkpoints]
    check_adapters(adapters)
    return adapters


def _merge_adapters(adapters: Sequence[Adapter], out: Path, share: Coefficients, method: Method) -> list[str]:
    """Write the merge as an adapter."""
    if not isinstance(method, Interpolate | TaskArithmetic | Extrapolate):
        raise PrefalignError(
            f"{_described(method)['name']} looks at every entry of what training changed, and an adapter holds factors "
            "of it: give the base, and the result is a whole model"
        )
    names = [*map(weight_name, adapters[0].factors), *adapters[0].whole]
    share.check(len(adapters), names, method.convex)
    if isinstance(method, Extrapolate):
        if len(adapters) != 1:
            raise PrefalignError(f"extrapolation takes one model, got {len(adapters)}; merge them first")
        # Over its base an adapter is its own task vector, so α adds to the 1 that it has.
        share = Coefficients((1 + share.weights[0],), {key: (1 + alpha,) for key, (alpha,) in share.modules.items()})
    used = [place for place in range(len(adapters)) if any(share.of(name)[place] for name in names)] or [0]
    share = _chosen(share, used)
    kept = [adapters[place] for place in used]
    checkpoint = kept[0].checkpoint
    file_name, file = next(iter(checkpoint.files.items()))
    folders = [adapter.checkpoint.folder for adapter in adapters if adapter is not kept[0]]
    if len(kept) == 1 and all(share.of(name) == (1.0,) for name in names):
        shutil.copyfile(file.path, out / file_name)
        return copy_companions(checkpoint, folders, out)
    tensors, config = stack(kept, share)
    metadata = dict(file.metadata)
    if file_name == DIFFUSERS_ADAPTER:
        metadata[METADATA] = json.dumps(config, indent=2, sort_keys=True)
    else:
        _write_text(out / PEFT_CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")
    with atomic_path(out / file_name) as partial:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata)
    return copy_companions(checkpoint, folders, out, without=[PEFT_CONFIG])


def _chosen(share: Coefficients, places: Sequence[int]) -> Coefficients:
    def some(weights: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(weights[place] for place in places)

    return Coefficients(some(share.weights), {pattern: some(weights) for pattern, weights in share.modules.items()})


def _described(method: Method) -> dict[str, Any]:
    name = next((name for name, kind in METHODS.items() if type(method) is kind), type(method).__name__)
    return {"name": name, **(asdict(method) if is_dataclass(method) and not isinstance(method, type) else {})}


def _hashed(checkpoint: Checkpoint) -> dict[str, Any]:
    # A whole path tells of one machine, and the hashes say which weights they were.
    hashes = {name: content_hash(file.path) for name, file in checkpoint.files.items()}
    folder = checkpoint.folder
    return {"name": folder.name if folder.is_absolute() else folder.as_posix(), "sha256": hashes}


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as partial:
        partial.write_text(text, "utf-8")


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its name when the block ends well, and is gone if it raises."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.absolute().with_name(f".{out.absolute().name}.{os.getpid()}.partial")
    partial.mkdir()
    try:
        yield partial
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
