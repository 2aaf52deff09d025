"""Entropic transport (Cuturi, arXiv 1306.0895), batched."""

from __future__ import annotations

import contextlib
import math
from typing import Literal

import torch
from torch import Tensor

from prefalign.functional.transport.plan import Plan, checked_cost, checked_masses, marginal_error, negative_entropy

Domain = Literal["log", "exp"]

#: Iterations between two looks at the whole scores, which bring back entries that were too small for a float.
_STRETCH = 30
#: torch multiplies matrices of fewer products than this by a plain loop (`bmm` on CPUs, 2.13), which sums over so many
#: problems or more outrun by 1.2 to 2.6 times.
_FEWEST_PRODUCTS, _MANY_PROBLEMS = 400, 64


def sinkhorn(
    cost: Tensor,
    epsilon: float,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    iterations: int = 100,
    tolerance: float = 0.0,
    domain: Domain = "log",
    unroll: bool = False,
) -> Plan:
    """Couplings that minimise ⟨P, C⟩ + epsilon Σ P log P with row sums a and column sums b.

    Columns are scaled before rows, as in POT's `ot.sinkhorn`, so that rows fit exactly after any number of iterations.

    Args:
        cost: (B, n, m), in any unit, finite.
        epsilon: in the cost's unit, > 0.
        a: (B, n) masses of the sources, those of a problem summing to 1; uniform if None. A point of mass 0 is absent:
            its row of the coupling is 0 whatever it costs.
        b: (B, m) likewise.
        iterations: at most; one scales columns and rows.
        tolerance: stop when the marginal error of every problem is below; looked at every 10 iterations (`exp`: 30).
        domain: `exp` multiplies matrices with vectors where `log` takes logarithms of sums, which is several times
            faster on CPUs and the same to rounding.
        unroll: differentiate through the iterations. Otherwise the coupling is a constant: the gradient of
            `regularised` in the cost is then the coupling (envelope theorem), exact where iterations converged.

    Raises:
        ValueError: for bad shapes or values.
    """
    cost = checked_cost(cost, "cost")
    if not epsilon > 0 or iterations < 1:
        raise ValueError(f"expected epsilon > 0 and at least 1 iteration, got {epsilon} and {iterations}")
    a = checked_masses(a, "a", cost, cost.shape[1])
    b = checked_masses(b, "b", cost, cost.shape[2])
    with contextlib.nullcontext() if unroll else torch.no_grad():
        coupling = project(-cost / epsilon, a, b, iterations, tolerance, domain)
    moved = (coupling * cost).flatten(1).sum(-1)
    return Plan(coupling, moved, moved + epsilon * negative_entropy(coupling), marginal_error(coupling, a, b))


def project(
    scores: Tensor, a: Tensor, b: Tensor, iterations: int, tolerance: float = 0.0, domain: Domain = "log"
) -> Tensor:
    """(B, n, m) nearest coupling, in Kullback and Leibler's sense, to exp(scores) (B, n, m) with sums a and b."""
    log_a, log_b = a.log()[..., None], b.log()[..., None, :]  # minus infinity for what is absent
    rows = torch.where(log_a.isinf(), log_a, -scores.detach().amax((1, 2), keepdim=True))
    columns = torch.where(log_b.isinf(), log_b, 0.0)
    done = 0
    while True:
        scaled = scores + rows + columns
        if domain == "log" or not _fits(scaled, a, b):
            columns = log_b - torch.logsumexp(scores + rows, -2, keepdim=True)
            rows = log_a - torch.logsumexp(scores + columns, -1, keepdim=True)
            scaled = scores + rows + columns
            done += 1
        last = done >= iterations
        if domain == "exp" and not last:
            count = min(_STRETCH, iterations - done)
            kernel = scaled.exp()
            more_rows, more_columns = _factors(kernel, a, b, count)
            coupling = more_rows[..., None] * kernel * more_columns[:, None]
            done += count
            last = done >= iterations
            if not last:
                rows, columns = rows + more_rows.log()[..., None], columns + more_columns.log()[:, None]
        elif last or (tolerance and not done % 10):
            coupling = scaled.exp()
        else:
            continue
        if last or (tolerance and bool((marginal_error(coupling, a, b) < tolerance).all())):
            return coupling


def _fits(scaled: Tensor, a: Tensor, b: Tensor) -> bool:
    """Whether every row and column keeps an entry that a float can hold, far from the least one."""
    least = 0.7 * math.log(torch.finfo(scaled.dtype).tiny)
    held = scaled.detach()
    return bool(((held.amax(-1) > least) | (a == 0)).all() and ((held.amax(-2) > least) | (b == 0)).all())


def _factors(kernel: Tensor, a: Tensor, b: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """(B, n) and (B, m) by which iterations scale a kernel (B, n, m)."""
    if kernel.shape[1] * kernel.shape[2] < _FEWEST_PRODUCTS and len(kernel) >= _MANY_PROBLEMS:
        return _factors_across(kernel, a, b, iterations)
    # A row times a matrix runs several times faster than a matrix times a column (MKL, torch 2.13).
    transposed = kernel.transpose(1, 2).contiguous()
    tiny = torch.finfo(kernel.dtype).tiny
    a, b = a[:, None], b[:, None]
    rows, columns = (a > 0).to(kernel.dtype), (b > 0).to(kernel.dtype)
    for _ in range(iterations):
        columns = b / torch.bmm(rows, kernel).clamp_(min=tiny)
        rows = a / torch.bmm(columns, transposed).clamp_(min=tiny)
    return rows[:, 0], columns[:, 0]


def _factors_across(kernel: Tensor, a: Tensor, b: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """The same for many small kernels: problems lie side by side in memory, and sums run over all of them at once."""
    kernel, transposed = kernel.permute(1, 2, 0).contiguous(), kernel.permute(2, 1, 0).contiguous()
    tiny = torch.finfo(kernel.dtype).tiny
    a, b = a.T.contiguous(), b.T.contiguous()  # (n, B), (m, B)
    rows, columns = (a > 0).to(kernel.dtype), (b > 0).to(kernel.dtype)
    for _ in range(iterations):
        columns = b / (kernel * rows[:, None]).sum(0).clamp_(min=tiny)
        rows = a / (transposed * columns[:, None]).sum(0).clamp_(min=tiny)
    return rows.T, columns.T
