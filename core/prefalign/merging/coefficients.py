"""How much of each model goes into the merge, for all tensors or by their names."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prefalign.interfaces import PrefalignError
from prefalign.interfaces.errors import unknown_name


@dataclass(frozen=True)
class Coefficients:
    """One weight per model.

    A pattern with one of `*?[` is a glob over the whole name, in which `*` crosses dots. Any other pattern is the
    beginning of a name up to a dot: `layers.1` takes `layers.1.bias`, and not `layers.10.bias`.

    Attributes:
        weights: (M,) for tensors that no pattern takes.
        modules: (M,) weights by pattern. The first pattern that matches a name takes it.
    """

    weights: tuple[float, ...]
    modules: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def of(self, name: str) -> tuple[float, ...]:
        """(M,) weights of a tensor."""
        return next((weights for pattern, weights in self.modules.items() if _matches(pattern, name)), self.weights)

    def check(self, models: int, names: Iterable[str], convex: bool) -> None:
        """Hold the coefficients against what is merged.

        Args:
            models: M.
            names: of the tensors.
            convex: whether weights have to sum to 1. Negative ones may be among them.

        Raises:
            PrefalignError: for another number of weights, one that is not finite, a sum that is not 1, or a pattern
                that takes no tensor.
        """
        for where, weights in [("", self.weights), *((f" of {pattern!r}", w) for pattern, w in self.modules.items())]:
            if len(weights) != models:
                raise PrefalignError(f"weights{where}: expected {models}, one for each model, got {len(weights)}")
            if not all(map(math.isfinite, weights)):
                raise PrefalignError(f"weights{where}: expected finite numbers, got {weights}")
            if convex and not sums_to_one(weights):
                raise PrefalignError(
                    f"weights{where}: expected a sum of 1, got {math.fsum(weights):.6g}. Another sum scales the "
                    "weights themselves; to scale what training changed, use task arithmetic with the base"
                )
        listed = list(names)
        left = set(listed)
        for pattern in self.modules:
            taken = {name for name in left if _matches(pattern, name)}
            if not taken:
                if any(_matches(pattern, name) for name in listed):
                    raise PrefalignError(
                        f"module pattern {pattern!r} takes no tensor: earlier patterns take all of them"
                    )
                parts = {name.rpartition(".")[0] or name for name in listed}
                raise unknown_name("module pattern", pattern, parts)
            left -= taken


def coefficients(
    weights: Coefficients | Sequence[float], modules: Mapping[str, Sequence[float]] | None = None
) -> Coefficients:
    """Coefficients from plain numbers; ones that are made already stay as they are."""
    if isinstance(weights, Coefficients):
        return weights
    return Coefficients(_numbers(weights), {pattern: _numbers(values) for pattern, values in (modules or {}).items()})


def sums_to_one(weights: Sequence[float]) -> bool:
    """Whether weights, which people write with few digits, sum to 1 within 1e-6."""
    return abs(math.fsum(weights) - 1) < 1e-6


def _numbers(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _matches(pattern: str, name: str) -> bool:
    if any(character in pattern for character in "*?["):
        return fnmatch.fnmatchcase(name, pattern)
    return name == pattern or name.startswith(pattern.removesuffix(".") + ".")
