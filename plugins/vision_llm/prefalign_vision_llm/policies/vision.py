"""Which parts of a network see: the tower, the projector, and the rest that belongs to language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from prefalign.interfaces import PrefalignError


@dataclass
class VisionParts:
    """Modules and bare parameters of a network that come before the language model, by their names in the network.

    Attributes:
        tower: the image encoder.
        projector: whatever else stands between pixels and token embeddings (empty where the tower does it all).
    """

    tower: dict[str, nn.Module] = field(default_factory=dict)
    projector: dict[str, nn.Module | nn.Parameter] = field(default_factory=dict)

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters of tower and projector."""
        yield from parameters_of(self.tower | self.projector)


def parameters_of(parts: dict[str, Any]) -> Iterator[nn.Parameter]:
    """The parameters of some parts."""
    for part in parts.values():
        if isinstance(part, nn.Module):
            yield from part.parameters()
        else:
            yield part


def vision_parts(network: Any) -> VisionParts:
    """Find the parts in a Transformers image-text model.

    The tower is what the model itself names as its image encoder; the projector is all else beside it that is neither
    the language model nor an embedding or output head.

    Raises:
        PrefalignError: if the model names no image encoder.
    """
    tower = network.get_encoder(modality="image")
    names = {module: name for name, module in network.named_modules()}
    # A model without an encoder of its own answers with itself.
    if tower is network or tower is network.base_model or tower not in names:
        raise PrefalignError(f"{type(network).__name__} names no image encoder, so it cannot be told what to freeze")
    parent_name, _, _ = names[tower].rpartition(".")
    parent = network.get_submodule(parent_name)
    language = {network.get_decoder(), network.get_input_embeddings(), network.get_output_embeddings()}
    prefix = f"{parent_name}." if parent_name else ""
    found = VisionParts(tower={names[tower]: tower})
    for name, child in parent.named_children():
        if child is not tower and child not in language and not language & set(child.modules()):
            found.projector[prefix + name] = child
    for name, parameter in parent.named_parameters(recurse=False):
        found.projector[prefix + name] = parameter
    return found


def modules_pattern(names: list[str]) -> str:
    """A regular expression that matches the full names of these modules and of all modules inside them."""
    return "|".join(rf"{re.escape(name)}(\..*)?" for name in names)
