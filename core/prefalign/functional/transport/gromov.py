"""Gromov–Wasserstein transport: match two sets of points by the distances inside each, batched.

With entropy by projected gradient (Peyré, Cuturi and Solomon, ICML 2016, section 3), or proximal, which drives entropy
out (Xu et al., arXiv 1901.06003, section 3.1). Fused with a cost between the sets where there is one (Vayer et al.,
arXiv 1805.09114).
"""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor

from prefalign.functional.transport.plan import Plan, checked_cost, checked_masses, marginal_error, negative_entropy
from prefalign.functional.transport.sinkhorn import Domain, project


def gromov_wasserstein(
    source: Tensor,
    target: Tensor,
    epsilon: float,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    between: Tensor | None = None,
    alpha: float = 0.5,
    proximal: bool = False,
    outer: int = 30,
    inner: int = 30,
    start: Tensor | None = None,
    domain: Domain = "exp",
    unroll: bool = False,
) -> Plan:
    """Couplings of small Σ (S_ii' − T_jj')² P_ij P_i'j'; the problem is not convex, so the start matters.

    Divide distances by their largest (or mean) beforehand, so that epsilon means the same for all problems; 0.01 to
    0.02 is usual then.

    Args:
        source: (B, n, n) symmetric distances S.
        target: (B, m, m) symmetric distances T.
        epsilon: of the entropy, in the unit of squared distances, > 0. `proximal`: of each step.
        a: (B, n) masses; uniform if None, and 0 for points that are absent.
        b: (B, m) likewise.
        between: (B, n, m) costs M across the sets; the objective is then (1 − alpha) ⟨P, M⟩ + alpha Σ (…)².
        alpha: share of the distances, in [0, 1]; read with `between` only.
        proximal: each step stays near the last coupling, and no entropy is left at the end.
        outer: steps of the gradient.
        inner: Sinkhorn iterations of each.
        start: (B, n, m) coupling to start from, above 0 on what is present; the product a bᵀ if None.
        domain: as in `sinkhorn`, of the inner iterations.
        unroll: differentiate through all iterations. Otherwise the coupling is a constant, and the gradient of `cost`
            in the distances is that at the coupling.

    Raises:
        ValueError: for bad shapes or values, or distances that are not symmetric.
    """
    source, target = _distances(source, "source"), _distances(target, "target").to(source)
    a = checked_masses(a, "a", source, source.shape[1])
    b = checked_masses(b, "b", target, target.shape[1])
    shape = (len(source), source.shape[1], target.shape[1])
    if len(target) != len(source):
        raise ValueError(f"expected as many targets as sources, got {len(target)} and {len(source)}")
    if not epsilon > 0 or outer < 1 or inner < 1 or not 0 <= alpha <= 1:
        raise ValueError(
            f"expected epsilon > 0, outer, inner >= 1, alpha in [0, 1]; got {epsilon, outer, inner, alpha}"
        )
    for name, given in (("between", between), ("start", start)):
        if given is not None and checked_cost(given, name).shape != shape:
            raise ValueError(f"expected {name} of shape {shape}, got {tuple(given.shape)}")
    share = alpha if between is not None else 1.0
    fixed = 0.0 if between is None else (1 - alpha) * between.to(source)
    with contextlib.nullcontext() if unroll else torch.no_grad():
        coupling = a[..., None] * b[..., None, :] if start is None else start.to(source)
        if bool((coupling < 0).any()):
            raise ValueError("expected a start of at least 0")
        constant = (2 * share * _constant(source, target, a, b) + fixed) / -epsilon
        for _ in range(outer):
            # Minus the objective's gradient over epsilon.
            scores = torch.baddbmm(constant, source @ coupling, target, alpha=4 * share / epsilon)
            if proximal:
                scores = scores + coupling.clamp(min=torch.finfo(coupling.dtype).tiny).log()
            coupling = project(scores, a, b, inner, domain=domain)
    cost = share * gromov_cost(coupling, source, target) + (coupling * fixed).flatten(1).sum(-1)
    entropy = 0.0 if proximal else epsilon * negative_entropy(coupling)
    return Plan(coupling, cost, cost + entropy, marginal_error(coupling, a, b))


def gromov_cost(coupling: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """(B,) Σ (S_ii' − T_jj')² P_ij P_i'j' of couplings (B, n, m), with the sums that they have."""
    constant = _constant(source, target, coupling.sum(-1), coupling.sum(-2))
    return (coupling * (constant - 2 * source @ coupling @ target)).flatten(1).sum(-1)


def _constant(source: Tensor, target: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """(B, n, m) Σ_i' S_ii'² a_i' + Σ_j' T_jj'² b_j' (Peyré et al., proposition 1)."""
    return (source.square() @ a[..., None]) + (target.square() @ b[..., None]).transpose(1, 2)


def _distances(matrix: Tensor, name: str) -> Tensor:
    matrix = checked_cost(matrix, name)
    if matrix.shape[1] != matrix.shape[2]:
        raise ValueError(f"expected {name} as a batch of square matrices, got {tuple(matrix.shape)}")
    difference = (matrix - matrix.transpose(1, 2)).abs().amax()
    if difference > 1e-4 * matrix.abs().amax():
        raise ValueError(f"expected symmetric distances {name}, but entries differ by up to {difference.item():g}")
    return matrix
