"""Formulas of merging, one tensor at a time: θ_i of the models, θ_0 of the base, w_i the weights."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError


class Method(Protocol):
    """A formula.

    Attributes:
        needs_base: whether θ_0 is part of it.
        convex: whether the weights have to sum to 1.
    """

    @property
    def needs_base(self) -> bool: ...

    @property
    def convex(self) -> bool: ...

    def __call__(self, name: str, models: Sequence[Tensor], base: Tensor | None, weights: Sequence[float]) -> Tensor:
        """The merged tensor.

        Args:
            name: of the tensor.
            models: M tensors of one shape, in the precision that is computed in.
            base: as they are, where `needs_base`.
            weights: (M,).
        """
        ...


@dataclass(frozen=True)
class Interpolate:
    """θ = Σ w_i θ_i with Σ w_i = 1 (LeVo, arXiv 2506.07520; model soups, 2203.05482).

    A model of weight 0 is left out, so that weights of one 1 and zeros give that model bit for bit.

    Attributes:
        convex: whether weights of another sum are refused.
    """

    convex: bool = True
    needs_base: ClassVar[bool] = False

    def __call__(self, name: str, models: Sequence[Tensor], base: Tensor | None, weights: Sequence[float]) -> Tensor:
        """The weighted sum."""
        return _weighted_sum(models, weights)


@dataclass(frozen=True)
class TaskArithmetic:
    """θ = θ_0 + Σ w_i (θ_i − θ_0) (arXiv 2212.04089 section 2)."""

    needs_base: ClassVar[bool] = True
    convex: ClassVar[bool] = False

    def __call__(self, name: str, models: Sequence[Tensor], base: Tensor | None, weights: Sequence[float]) -> Tensor:
        """The base and its weighted task vectors."""
        start = _given(base)
        return start + _weighted_sum([model - start for model in models], weights)


@dataclass(frozen=True)
class Extrapolate:
    """θ = θ_1 + α (θ_1 − θ_0), beyond what training reached (ExPO, arXiv 2404.16792 section 2); the weight is α.

    One model only; α = 0 gives it bit for bit.
    """

    needs_base: ClassVar[bool] = True
    convex: ClassVar[bool] = False

    def __call__(self, name: str, models: Sequence[Tensor], base: Tensor | None, weights: Sequence[float]) -> Tensor:
        """The extrapolated tensor."""
        if len(models) != 1:
            raise PrefalignError(f"extrapolation takes one model and its base, got {len(models)}; merge them first")
        return models[0] + weights[0] * (models[0] - _given(base)) if weights[0] else models[0]


@dataclass(frozen=True)
class Ties:
    """Trim, elect sign, merge (TIES, arXiv 2306.01708 algorithm 1), a tensor at a time.

    Of each task vector the largest entries are kept; entries whose sign is not that of the weighted sum are left out;
    the rest is averaged with the weights and scaled by their sum. Equal weights of λ / M are the paper's λ. The paper
    trims over the whole vector; here each tensor keeps its share, as a merge that holds one tensor at a time must.

    Attributes:
        density: share of entries kept, in (0, 1]. Entries as large as the smallest kept one are kept too.
    """

    density: float = 0.2
    needs_base: ClassVar[bool] = True
    convex: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_density(self.density)

    def __call__(self, name: str, models: Sequence[Tensor], base: Tensor | None, weights: Sequence[float]) -> Tensor:
        """The merged tensor; refuses negative weights, under which no sign can be elected."""
        if min(weights) < 0:
            raise PrefalignError(f"TIES elects a sign by weights of at least 0, got {tuple(weights)} for {name!r}")
        start = _given(base)
        trimmed = torch.stack([_largest(model - start, self.density) for model in models])
        share = torch.tensor(weights, dtype=start.dtype, device=start.device).view(-1, *[1] * start.ndim)
        weighted = share * trimmed
        agrees = weighted.sign() == weighted.sum(0).sign()
        total = (share * agrees).sum(0)
        mean = (weighted * agrees).sum(0) / total.where(total > 0, 1)
        return start + math.fsum(weights) * mean


@dataclass(frozen=True)
class Dare:
    """Drop and rescale, then task arithmetic (DARE, arXiv 2311.03099 section 3).

    An entry of a task vector is dropped with probability p = 1 − density, and scaled by 1 / (1 − p) if kept.

    Attributes:
        density: probability with which an entry is kept, in (0, 1].
        seed: of the draw, which depends on the tensor's name and the model's place besides, and on nothing else.
    """

    density: float = 0.1
    seed: int = 0
    needs_base: ClassVar[bool] = True
    convex: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_density(self.density)

    def __call__(self, name: str, models: Sequence[Tensor], base: Tensor | None, weights: Sequence[float]) -> Tensor:
        """The base and its sparse task vectors."""
        start = _given(base)
        kept = [(model - start) * self._mask(name, place, start) for place, model in enumerate(models)]
        return start + _weighted_sum(kept, weights) / self.density

    def _mask(self, name: str, place: int, like: Tensor) -> Tensor:
        digest = hashlib.sha256(f"{self.seed} {place} {name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
        return (torch.rand(like.shape, generator=generator) < self.density).to(like.device)


def _weighted_sum(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Σ w_i t_i without the terms of weight 0, so that infinity in one of them does no harm and −0.0 survives."""
    terms = [(tensor, weight) for tensor, weight in zip(tensors, weights, strict=True) if weight]
    if not terms:
        return torch.zeros_like(tensors[0])
    total = terms[0][0] * terms[0][1]
    for tensor, weight in terms[1:]:
        total.add_(tensor, alpha=weight)
    return total


def _largest(delta: Tensor, density: float) -> Tensor:
    """The entries of largest magnitude, zero elsewhere."""
    size = delta.numel()
    kept = math.ceil(density * size)
    if kept == size:
        return delta
    magnitude = delta.abs()
    threshold = magnitude.flatten().kthvalue(size - kept + 1).values
    return delta.where(magnitude >= threshold, 0)


def _given(base: Tensor | None) -> Tensor:
    if base is None:
        raise PrefalignError("this method starts from a base; give the model that the others were trained from")
    return base


def _check_density(density: float) -> None:
    if not 0 < density <= 1:
        raise PrefalignError(f"expected a density above 0 and at most 1, got {density}")


#: The formulas by the names that commands use.
METHODS: dict[str, type[Interpolate] | type[TaskArithmetic] | type[Extrapolate] | type[Ties] | type[Dare]] = {
    "interpolate": Interpolate,
    "task": TaskArithmetic,
    "expo": Extrapolate,
    "ties": Ties,
    "dare": Dare,
}
