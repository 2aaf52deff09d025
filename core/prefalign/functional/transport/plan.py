"""What a solver returns, and the masses that it is given."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Plan:
    """Couplings of B problems.

    Attributes:
        coupling: (B, n, m), how much of each source point goes to each target point; at least 0.
        cost: (B,) of the coupling, without any entropy.
        regularised: (B,) what is minimised, cost + epsilon Σ P log P; the cost itself where there is no entropy.
        marginal_error: (B,) Σ |rows' sums − a| + Σ |columns' sums − b|, at most 2 + 2. A solver that was stopped early
            is known by it.
    """

    coupling: Tensor
    cost: Tensor
    regularised: Tensor
    marginal_error: Tensor


def uniform_masses(mask: Tensor) -> Tensor:
    """(B, n) equal masses of the points that are there; those of a problem sum to 1.

    Args:
        mask: (B, n) bool, at least one point in each problem.

    Raises:
        ValueError: for a problem without points.
    """
    if not bool(mask.any(-1).all()):
        raise ValueError(f"problem {int((~mask.any(-1)).nonzero()[0])} has no points")
    weights = mask.to(torch.get_default_dtype())
    return weights / weights.sum(-1, keepdim=True)


def checked_masses(masses: Tensor | None, name: str, like: Tensor, points: int) -> Tensor:
    """(B, points) masses in the precision of `like`; uniform where none are given.

    Raises:
        ValueError: for another shape, masses that are negative or not finite, or sums of a problem that are not 1.
    """
    problems = len(like)
    if masses is None:
        return like.new_full((problems, points), 1 / points)
    if masses.shape != (problems, points):
        raise ValueError(f"expected masses {name} of shape {(problems, points)}, got {tuple(masses.shape)}")
    masses = masses.to(like)
    if not bool((masses >= 0).all() and masses.isfinite().all()):
        raise ValueError(f"expected masses {name} of at least 0, got {masses.min().item():g}")
    sums = masses.sum(-1)
    if not torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
        worst = int((sums - 1).abs().argmax())
        raise ValueError(f"expected masses {name} that sum to 1, got {sums[worst].item():g} in problem {worst}")
    return masses


def checked_cost(cost: Tensor, name: str) -> Tensor:
    """A batch of cost matrices.

    Raises:
        ValueError: for another number of axes, whole numbers, no entries, or entries that are not finite.
    """
    if cost.ndim != 3 or not cost.is_floating_point() or not cost.numel():
        raise ValueError(f"expected {name} as a batch of matrices of floats, got {tuple(cost.shape)} {cost.dtype}")
    wrong = ~cost.isfinite()
    if bool(wrong.any()):
        problem, row, column = wrong.nonzero()[0].tolist()
        raise ValueError(f"{name} is not finite in problem {problem}, row {row}, column {column}")
    return cost


def marginal_error(coupling: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """(B,) as in `Plan`."""
    return (coupling.sum(-1) - a).abs().sum(-1) + (coupling.sum(-2) - b).abs().sum(-1)


def negative_entropy(coupling: Tensor) -> Tensor:
    """(B,) Σ P log P, with 0 log 0 = 0."""
    return torch.xlogy(coupling, coupling).flatten(1).sum(-1)
