"""Exact transport between points on a line, batched: the order decides, nothing is iterated."""

from __future__ import annotations

import torch
from torch import Tensor

from prefalign.functional.transport.plan import Plan, checked_masses, marginal_error


def line_transport(
    source: Tensor, target: Tensor, a: Tensor | None = None, b: Tensor | None = None, power: float = 1.0
) -> Plan:
    """Couplings that minimise Σ P_ij |x_i − y_j|^power for power >= 1: mass goes in the order of the points.

    Args:
        source: (B, n) points x.
        target: (B, m) points y.
        a: (B, n) masses; uniform if None, and 0 for points that are absent.
        b: (B, m) likewise.
        power: at least 1.

    Raises:
        ValueError: for bad shapes or values.
    """
    if not power >= 1:
        raise ValueError(f"expected power >= 1, got {power}")
    for name, points in (("source", source), ("target", target)):
        if points.ndim != 2 or not points.is_floating_point() or not bool(points.isfinite().all()):
            raise ValueError(f"expected finite points {name} (problems, points), got {tuple(points.shape)}")
    if len(source) != len(target):
        raise ValueError(f"expected as many targets as sources, got {len(target)} and {len(source)}")
    a = checked_masses(a, "a", source, source.shape[1])
    b = checked_masses(b, "b", target, target.shape[1])
    start_a, end_a = _intervals(source, a)
    start_b, end_b = _intervals(target, b)
    # Each point holds an interval of the mass in [0, 1]; as much goes across as two intervals overlap.
    overlap = torch.minimum(end_a[..., None], end_b[..., None, :]) - torch.maximum(
        start_a[..., None], start_b[..., None, :]
    )
    coupling = overlap.clamp(min=0)
    distances = (source[..., None] - target[..., None, :]).abs() ** power
    cost = (coupling * distances).flatten(1).sum(-1)
    return Plan(coupling, cost, cost, marginal_error(coupling, a, b))


def _intervals(points: Tensor, masses: Tensor) -> tuple[Tensor, Tensor]:
    """(B, n) where each point's mass begins and ends when the points stand in order."""
    order = points.argsort(dim=-1, stable=True)
    sorted_ends = masses.gather(-1, order).cumsum(-1)
    ends = torch.empty_like(masses).scatter(-1, order, sorted_ends)
    starts = torch.empty_like(masses).scatter(-1, order, sorted_ends - masses.gather(-1, order))
    return starts, ends
