"""The folder of a reward by transport: settings as JSON, weights as safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from prefalign.interfaces import PrefalignError
from prefalign_robotics.rewards.alignment.encoders import IdentityEncoder, PerceptronEncoder, StepEncoder

#: What a saved folder holds.
SETTINGS_FILE, WEIGHTS_FILE = "aligned_reward.json", "model.safetensors"

#: Encoders that a folder may name. No others are looked for: a file should not choose what is imported.
ENCODERS: Mapping[str, type[StepEncoder]] = {kind.__name__: kind for kind in (IdentityEncoder, PerceptronEncoder)}


def save(folder: Path | str, kind: str, encoder: StepEncoder, settings: Mapping[str, Any]) -> None:
    """Write a reward's settings, and its encoder with its weights.

    Raises:
        PrefalignError: for an encoder that `load` would not know.
    """
    name = type(encoder).__name__
    if ENCODERS.get(name) is not type(encoder):
        raise PrefalignError(f"{name} is none of the encoders that are saved by name: {', '.join(ENCODERS)}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_tensors(encoder), folder / WEIGHTS_FILE)
    saved = {"class": kind, "settings": dict(settings), "encoder": {"class": name, "settings": encoder.settings}}
    (folder / SETTINGS_FILE).write_text(json.dumps(saved, indent=2) + "\n", "utf-8")


def load_settings(folder: Path | str, kind: str) -> dict[str, Any]:
    """The settings of a reward of this kind.

    Raises:
        PrefalignError: if the folder holds no such reward.
    """
    saved = _read(folder)
    if saved["class"] != kind:
        raise PrefalignError(f"{folder}: holds a {saved['class']}, not a {kind}")
    return dict(saved["settings"])


def load_encoder(folder: Path | str) -> StepEncoder:
    """The encoder of a saved reward of any kind, with its weights.

    Raises:
        PrefalignError: if the folder holds no such reward, or weights that do not fit.
    """
    described, weights = _read(folder)["encoder"], Path(folder) / WEIGHTS_FILE
    if described["class"] not in ENCODERS:
        raise PrefalignError(f"{folder}: names an encoder {described['class']!r}; known: {', '.join(ENCODERS)}")
    try:
        encoder = ENCODERS[described["class"]](**described["settings"])
    except TypeError as error:
        raise PrefalignError(f"{folder}: the encoder's settings do not fit this version ({error})") from None
    encoder.configure_model()
    try:
        encoder.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise PrefalignError(f"{weights}: cannot be loaded ({error})") from None
    return encoder


def _read(folder: Path | str) -> dict[str, Any]:
    file = Path(folder) / SETTINGS_FILE
    if not file.is_file():
        raise PrefalignError(f"{folder}: no {SETTINGS_FILE}, so this is no reward by transport that prefalign saved")
    try:
        saved = json.loads(file.read_text("utf-8"))
        return {
            "class": str(saved["class"]),
            "settings": dict(saved["settings"]),
            "encoder": {"class": str(saved["encoder"]["class"]), "settings": dict(saved["encoder"]["settings"])},
        }
    except (ValueError, KeyError, TypeError) as error:
        raise PrefalignError(f"{file}: cannot be read ({type(error).__name__}: {error}); was it cut off?") from None


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
