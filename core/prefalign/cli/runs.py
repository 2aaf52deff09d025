"""Where a run lives: its folder, its record, and the checkpoint that `--ckpt_path last` or `best` means.

A run's folder is `runs/<preset>/<date and time>`, unless the config sets `trainer.default_root_dir`; a run that goes on
from a checkpoint keeps the folder of the run that wrote it.
"""

import datetime
import os
from pathlib import Path
from typing import Any

import torch
import yaml

from prefalign.cli.errors import CommandError
from prefalign.cli.names import config_values

RUNS = Path("runs")
FOLDER_VARIABLE = "PREFALIGN_RUN_FOLDER"


def peek(arguments: list[str], key: str) -> str | None:
    """Return what the arguments give for a dotted key, before anything is parsed: the last flag, else a config's text.

    Values that a config takes from a further file by a relative path are found too.
    """
    given: str | None = None
    for position, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag == f"--{key}":
            given = value if equals else next(iter(arguments[position + 1 :]), None)
    if given is not None:
        return given
    for path in reversed(config_values(arguments)):
        node: Any = path
        folder = Path()
        for part in ("", *key.split(".")):
            node = node.get(part) if part and isinstance(node, dict) else node
            if isinstance(node, str) and node.endswith((".yaml", ".yml", ".json")):
                file = folder / node
                folder = file.parent
                node = _read_yaml(file)
        if isinstance(node, str):
            return node
    return None


def without(arguments: list[str], key: str) -> list[str]:
    """Return the arguments without a flag and its value."""
    kept: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == f"--{key}":
            next(rest, None)
        elif not argument.startswith(f"--{key}="):
            kept.append(argument)
    return kept


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None  # the parser reads the file again and says what is wrong with it


def preset_label(arguments: list[str], presets: dict[str, str]) -> str:
    """Return the sub-folder of `runs` for these arguments: the first config's preset name or file stem.

    Args:
        arguments: what was typed, presets already resolved.
        presets: preset names by the file that they resolve to.
    """
    for value in config_values(arguments)[:1]:
        if value in presets:
            return presets[value]
        path = Path(value).resolve()
        run = path.parent
        if path.stem.startswith("config") and RUNS.resolve() in run.parents:
            return run.parent.relative_to(RUNS.resolve()).as_posix()
        return path.stem
    return "unnamed"


def claim_folder(label: str, now: datetime.datetime | None = None) -> Path:
    """Create and return a folder that no other run has.

    Processes that Lightning starts for further devices inherit the first one's choice through the environment. Those
    that a launcher such as torchrun started write nothing: Lightning tells them the first one's folders.
    """
    first = all(os.environ.get(variable, "0") == "0" for variable in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    if not first:
        return Path(os.environ.get(FOLDER_VARIABLE) or RUNS / label)
    stamp = (now or datetime.datetime.now()).strftime("%Y-%m-%d_%H-%M-%S")
    attempt = 1
    while True:
        folder = RUNS / label / (stamp if attempt == 1 else f"{stamp}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            attempt += 1
            continue
        os.environ[FOLDER_VARIABLE] = str(folder.resolve())
        return folder


def folder_of_checkpoint(checkpoint: Path) -> Path | None:
    """Return the run folder that holds a checkpoint, or None if it lies outside any run."""
    return next((parent for parent in checkpoint.parents if (parent / "config.yaml").is_file()), None)


def find_checkpoint(wanted: str, root: Path) -> Path:
    """Return the checkpoint that `last`, `best` or a path means, searching run folders below `root`.

    Raises:
        CommandError: There is none, or `best` was asked of a run that monitored nothing.
    """
    if wanted not in ("last", "best"):
        path = Path(wanted)
        if not path.exists():
            raise CommandError(
                f"--ckpt_path: there is no checkpoint {wanted!r}; expected last, best or an existing path"
            )
        return path
    found = [path for path in root.rglob("*.ckpt") if path.parent == root or ".ckpt" not in path.parent.name]
    if not found:
        raise CommandError(f"--ckpt_path {wanted}: no checkpoint below {root}; train first or give a path")
    # last.ckpt is written after the checkpoint it repeats, within the resolution of some file systems at the same time.
    newest = max(found, key=lambda path: (path.stat().st_mtime_ns, path.name.startswith("last")))
    return newest if wanted == "last" else _best_of_run(newest)


def _best_of_run(newest: Path) -> Path:
    callbacks = read_checkpoint(newest).get("callbacks", {})
    states = [state for name, state in callbacks.items() if name.startswith("ModelCheckpoint") and state.get("monitor")]
    for state in states:
        best = Path(state["best_model_path"])
        for candidate in (best, newest.parent / best.name):
            if best.name and candidate.exists():
                return candidate
    why = "its best checkpoint is gone" if states else "its ModelCheckpoint has no `monitor`"
    raise CommandError(f"--ckpt_path best: the run of {newest} knows no best checkpoint: {why}; use last or a path")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint's content without reading its tensors; sharded checkpoints, which are folders, give {}.

    Raises:
        CommandError: The file is no checkpoint, or holds more than tensors and plain data.
    """
    if path.is_dir():
        return {}
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise CommandError(f"--ckpt_path: {path} cannot be read as a checkpoint: {first}") from error
    if not isinstance(content, dict):
        raise CommandError(f"--ckpt_path: {path} holds a {type(content).__name__}, not a checkpoint")
    return content


def stored_config(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the config that a checkpoint's run resolved to, as far as the checkpoint tells.

    Modules of this project store the whole of it; from others, Lightning's hyper-parameters give the model's part.
    """
    config = (checkpoint.get("prefalign") or {}).get("config")
    if config:
        return dict(config)
    parameters = dict(checkpoint.get("hyper_parameters") or {})
    parameters.pop("_instantiator", None)
    class_path = parameters.pop("_class_path", None)
    return {"model": {"class_path": class_path, "init_args": parameters}} if class_path else {}


def set_aside(file: Path) -> None:
    """Rename an existing file to `name.1.ext` (or the next free number): a resumed run keeps what went before."""
    if not file.exists():
        return
    number = 1
    while (kept := file.with_name(f"{file.stem}.{number}{file.suffix}")).exists():
        number += 1
    file.rename(kept)


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts by dotted key."""
    if not isinstance(node, dict) or not node:
        return {prefix: node}
    leaves: dict[str, Any] = {}
    for key, item in node.items():
        leaves.update(flatten(item, f"{prefix}.{key}" if prefix else str(key)))
    return leaves
