"""What conditions a denoiser: batch-first tensors and constants, with the operations that pairs and guidance need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from prefalign.interfaces.scores import _OnDevice


@dataclass
class Condition(_OnDevice):
    """The conditions of N samples.

    Attributes:
        tensors: by the name of the network's argument, each (N, …).
        constants: arguments that are the same for every sample and never indexed (rotary tables, flags). Tensors among
            them move with the condition.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values()))) if self.tensors else 0

    def select(self, rows: Tensor) -> Condition:
        """The conditions of `rows` (M,), which may repeat."""
        return Condition({name: value[rows] for name, value in self.tensors.items()}, self.constants)

    def arguments(self) -> dict[str, Any]:
        """Everything, as keyword arguments of the network."""
        return {**self.tensors, **self.constants}

    @staticmethod
    def cat(parts: Sequence[Condition]) -> Condition:
        """The samples of all parts in order; sequences (second axis) are padded with zeros to the longest.

        Padded places must be masked by a tensor among the conditions, which the zeros mark as absent.
        """
        tensors = {}
        for name in parts[0].tensors:
            values = [part.tensors[name] for part in parts]
            if values[0].ndim > 1:
                longest = max(value.shape[1] for value in values)
                values = [pad(v, (*(0, 0) * (v.ndim - 2), 0, longest - v.shape[1])) for v in values]
            tensors[name] = torch.cat(values)
        return Condition(tensors, parts[0].constants)
