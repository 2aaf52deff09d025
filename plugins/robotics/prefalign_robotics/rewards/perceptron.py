"""The hidden layers of every small network here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from prefalign.interfaces import PrefalignError


def perceptron(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Linear layers with ReLU between them.

    Args:
        inputs: numbers that go in.
        hidden: widths of the hidden layers; none for a linear map.
        outputs: numbers that come out.

    Raises:
        PrefalignError: for sizes below 1.
    """
    widths = (inputs, *hidden, outputs)
    if min(widths) < 1:
        raise PrefalignError(f"expected layers of at least 1 unit, got {list(widths)} from inputs to outputs")
    layers: list[nn.Module] = []
    for below, above in pairwise(widths):
        layers += [nn.Linear(below, above), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
