"""Which source segments a target segment is like: couplings by several rules, many problems in one call.

Axes: B problems, n source segments, m target segments; vectors of D and E numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import ot
import torch
from torch import Tensor

from prefalign.functional.transport import Plan, gromov_wasserstein, sinkhorn
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.transfer.features import distances


class Coupler(ABC):
    """A rule that couples segments by their vectors.

    Attributes:
        epsilons: strengths of smoothing that are worth a try, from strong to weak; one of 0 where there is none.
        same_numbers: both tasks' vectors must have the same numbers in the same order.
    """

    epsilons: ClassVar[tuple[float, ...]] = (0.0,)
    same_numbers: ClassVar[bool] = True

    @abstractmethod
    def couple(self, source: Tensor, target: Tensor, epsilon: float) -> Plan:
        """Couplings (B, n, m) of vectors (B, n, D) and (B, m, E)."""

    def check(self, source: Tensor, target: Tensor, names: tuple[str, str]) -> None:
        """Raises:
        SegmentError: where the rule needs the same numbers on both sides, and there are others.
        """
        if self.same_numbers and source.shape[-1] != target.shape[-1]:
            raise SegmentError(
                f"{type(self).__name__} compares the same numbers in both tasks, but {names[0]} has "
                f"{source.shape[-1]} and {names[1]} {target.shape[-1]}; use Gromov, or features that mean the same"
            )


@dataclass(frozen=True)
class Gromov(Coupler):
    """Match distances inside one task with those inside the other, so that nothing has to mean the same in both.

    It cannot tell a set of segments from its mirror image: look at the flip risk.

    Attributes:
        outer, inner: iterations, as in `gromov_wasserstein`.
    """

    epsilons: ClassVar[tuple[float, ...]] = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002)
    same_numbers: ClassVar[bool] = False
    outer: int = 30
    inner: int = 30

    def couple(self, source: Tensor, target: Tensor, epsilon: float, start: Tensor | None = None) -> Plan:
        """Couplings, from a start (B, n, m) or the product."""
        return gromov_wasserstein(
            distances(source), distances(target), epsilon, outer=self.outer, inner=self.inner, start=start
        )


@dataclass(frozen=True)
class Sinkhorn(Coupler):
    """Entropic transport between the segments themselves.

    Attributes:
        iterations: at most.
    """

    epsilons: ClassVar[tuple[float, ...]] = (1.0, 0.3, 0.1, 0.05, 0.02, 0.01)
    iterations: int = 500

    def couple(self, source: Tensor, target: Tensor, epsilon: float) -> Plan:
        """Couplings for distances divided by their largest."""
        return sinkhorn(_between(source, target), epsilon, iterations=self.iterations, tolerance=1e-6, domain="exp")


@dataclass(frozen=True)
class Exact(Coupler):
    """Transport without entropy, by POT, problem by problem. Few pairs of a sparse set of labels meet under it."""

    def couple(self, source: Tensor, target: Tensor, epsilon: float) -> Plan:
        """Couplings with at most n + m − 1 entries that are not 0."""
        cost = _between(source, target)
        coupling = torch.stack([torch.from_numpy(ot.emd([], [], one.numpy())) for one in cost.double().cpu()])
        moved = (coupling * cost).flatten(1).sum(-1)
        return Plan(coupling.to(cost), moved, moved, torch.zeros_like(moved))


@dataclass(frozen=True)
class Nearest(Coupler):
    """Each target segment is the mean of its nearest source segments; source segments may go unused.

    Attributes:
        neighbours: how many.
    """

    neighbours: int = 5

    def couple(self, source: Tensor, target: Tensor, epsilon: float) -> Plan:
        """Couplings whose columns have as many equal entries as there are neighbours."""
        cost = _between(source, target)
        count = min(self.neighbours, cost.shape[1])
        nearest = cost.topk(count, dim=1, largest=False).indices
        coupling = torch.zeros_like(cost).scatter(1, nearest, 1 / (count * cost.shape[2]))
        moved = (coupling * cost).flatten(1).sum(-1)
        # Its rows are free, so there is nothing to miss.
        return Plan(coupling, moved, moved, torch.zeros_like(moved))


def _between(source: Tensor, target: Tensor) -> Tensor:
    found = torch.cdist(source, target)
    return found / found.amax((-1, -2), keepdim=True).clamp(min=torch.finfo(found.dtype).tiny)
