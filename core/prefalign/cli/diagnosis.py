"""What `prefalign doctor` runs in a process of its own, so that a library that crashes costs one line.

Run as `python -m prefalign.cli.diagnosis`; prints one JSON object per line as each finding becomes known.
"""

import functools
import importlib
import importlib.util
import json
import os
import platform
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from prefalign.hooks.loader import Plugin, State
from prefalign.hooks.registry import get_registry

REQUIRED = (
    "torch",
    "lightning",
    "jsonargparse",
    "transformers",
    "peft",
    "datasets",
    "torchmetrics",
    "numpy",
    "pyarrow",
)
OPTIONAL = ("torchvision", "torchaudio", "lightning-sdk", "litserve")

Finding = dict[str, str]


def finding(name: str, state: str, text: str) -> Finding:
    """Return one line of the report; `state` is ok, warning or error."""
    return {"name": name, "state": state, "text": text}


def diagnose() -> Iterator[Finding]:
    """Yield the findings one by one, cheap ones first."""
    yield finding("python", "ok", f"{platform.python_version()} at {sys.executable}, {platform.platform()}")
    for name in ("prefalign", *REQUIRED, *OPTIONAL):
        try:
            yield finding(name, "ok", version(name))
        except PackageNotFoundError:
            if name not in OPTIONAL:
                yield finding(name, "error", f"not installed; get it with: pip install {name}")
    yield lightning_script()
    yield _guarded("devices", _devices)
    yield _guarded("torchvision", _torchvision)
    yield _guarded("torchaudio", _torchaudio)
    for module in ("lightning.pytorch", "transformers", "peft", "datasets"):
        yield _guarded(f"import {module}", functools.partial(_imports, module))
    for plugin in get_registry().plugins:
        yield from _plugin_findings(plugin)


def lightning_script() -> Finding:
    """Say which distribution owns the `lightning` script that the shell would run."""
    found = shutil.which("lightning")
    if found is None:
        return finding("lightning script", "warning", "not on the path; `prefalign fit` is the same program")
    owners = sorted(
        distribution.name
        for distribution in distributions()
        for entry in distribution.entry_points
        if entry.group == "console_scripts" and entry.name == "lightning"
    )
    # The installers overwrite one another's scripts without a word, so the file itself is asked.
    try:
        ours = "prefalign.cli.main" in Path(found).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return finding("lightning script", "warning", f"{found} cannot be read: {error}")
    if ours:
        others = ", ".join(owner for owner in owners if owner != "prefalign")
        also = f" ({others} wanted it too)" if others else ""
        return finding("lightning script", "ok", f"{found} is prefalign's{also}")
    claimed = ", ".join(owner for owner in owners if owner != "prefalign") or "an unknown distribution"
    return finding("lightning script", "warning", f"{found} belongs to {claimed}; use `prefalign fit` instead")


def _guarded(name: str, check: Callable[[], str | Finding]) -> Finding:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = check()
    except Exception as error:
        return finding(name, "error", f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
    return result if isinstance(result, dict) else finding(name, "ok", result)


def _devices() -> str:
    import torch

    devices = [f"cpu ({torch.get_num_threads()} threads)"]
    devices += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return f"{', '.join(devices)}; torch built for {'CUDA ' + torch.version.cuda if torch.version.cuda else 'no CUDA'}"


def _torchvision() -> str | Finding:
    if importlib.util.find_spec("torchvision") is None:
        return "not installed, and not needed"
    try:
        importlib.import_module("torchvision")
    except Exception as error:
        remedy = "it does not match this torch and breaks transformers, peft and lightning; pip uninstall torchvision"
        return finding("torchvision", "error", f"{type(error).__name__}: {remedy}")
    return "importable"


def _torchaudio() -> str | Finding:
    spec = importlib.util.find_spec("torchaudio")
    if spec is None:
        return "not installed"
    if spec.origin is None:
        leftover = ", ".join(spec.submodule_search_locations or ())
        return finding(
            "torchaudio", "error", f"only a leftover folder, which others take for the library: delete {leftover}"
        )
    try:
        importlib.import_module("torchaudio")
    except Exception as error:
        remedy = (
            "its compiled extension does not fit this torch, which breaks peft and audio models too;"
            " delete lib/_torchaudio*.so in its folder or uninstall it"
        )
        return finding("torchaudio", "error", f"{type(error).__name__}: {remedy}")
    return "importable"


def _imports(module: str) -> str:
    importlib.import_module(module)
    return "ok"


def _plugin_findings(plugin: Plugin) -> Iterator[Finding]:
    label = f"plugin {plugin.name}"
    if plugin.state is not State.OK:
        harmless = plugin.state in (State.DISABLED, State.SHADOWED)
        yield finding(label, "ok" if harmless else "warning", f"{plugin.state}: {plugin.reason}")
        return
    yield finding(label, "ok", f"{plugin.version}, {len(plugin.components)} components")
    for check in plugin.checks:
        result = _guarded(f"{plugin.name} {check.name}", functools.partial(_run_check, check.target))
        # A plugin's trouble is the plugin's: the core goes on working without it.
        yield {**result, "state": "warning" if result["state"] == "error" else result["state"]}


def _run_check(target: str) -> str:
    module, _, attribute = target.partition(":")
    return str(getattr(importlib.import_module(module), attribute)())


def main() -> None:
    """Print the findings as JSON lines."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    report = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr  # what libraries print while they load is no part of the report
    for item in diagnose():
        print(json.dumps(item), file=report, flush=True)


if __name__ == "__main__":
    main()
