"""The sizes of a diffusion policy, read without its weights, so that records are checked before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefalign.interfaces import PrefalignError

#: Config of a network in its folder, as Diffusers names it.
CONFIG = "config.json"


@dataclass(frozen=True)
class Form:
    """Sizes.

    Attributes:
        observation: O numbers of what is seen.
        action: A numbers of an action.
        horizon: H steps of a chunk.
    """

    observation: int
    action: int
    horizon: int


def read_form(model: str | Mapping[str, Any]) -> Form:
    """The sizes of a network in a folder, or of a config.

    Raises:
        PrefalignError: for a folder without such a network, or sizes that are no whole numbers from 1 up.
    """
    found: Any = model
    if isinstance(model, str):
        try:
            found = json.loads((Path(model) / CONFIG).read_text("utf-8"))
        except FileNotFoundError:
            raise PrefalignError(
                f"{model}: no {CONFIG}; expected the folder of a diffusion policy, which `prefalign robotics "
                "candidates` makes"
            ) from None
        except (OSError, ValueError) as error:
            raise PrefalignError(f"{model}: {CONFIG} cannot be read as JSON ({error})") from None
    if not isinstance(found, Mapping):
        raise PrefalignError(f"{model}: expected the config of a policy, got {type(found).__name__}")
    return Form(*(_size(model, found, name) for name in Form.__dataclass_fields__))


def _size(model: object, config: Mapping[str, Any], name: str) -> int:
    size = config.get(name)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise PrefalignError(f"{model}: expected {name} of at least 1 in the config of a policy, got {size!r}")
    return size
