"""What the steps of one trajectory cost when they are matched with those of another.

R(a, b) = −⟨P, C⟩ with C_ts = 1 − cos(φ(a_t), φ(b_s)) and P the entropic plan between the steps of a and those of b, all
steps of a trajectory weighing the same. Step t of a is charged with its own row: r_t = −Σ_s P_ts C_ts, which is minus
the diagonal of P Cᵀ in RAPL (Tian et al., arXiv 2310.07932 and 2412.04835) and the reward of OTR (Luo et al., arXiv
2303.13971). Order in time plays no part, so a trajectory that runs backwards is as good.

Axes: B pairs of trajectories, T steps of the first, S of the second, D numbers of an embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prefalign.functional.transport import sinkhorn, uniform_masses

#: Plans whose sums miss their marginals by more (5% of the mass is in the wrong place) are no basis for a reward.
MOST_MARGINAL_ERROR = 0.1

#: What is nothing beside the weight of a step: it keeps a plan that is a permutation from dividing 0 by 0.
_LEAST = 1e-12


@dataclass(frozen=True)
class Alignment:
    """The first trajectories of B pairs, judged by their second ones.

    Attributes:
        rewards: (B, T) of the first trajectory's steps, in [−2/T, 0]; 0 where there is no step.
        marginal_error: (B,) of the plan, see `Plan`.
        defined: (B,) bool, whether all embeddings have a direction.
    """

    rewards: Tensor
    marginal_error: Tensor
    defined: Tensor

    @property
    def converged(self) -> Tensor:
        """(B,) bool, whether the plan's sums are near the weights of the steps."""
        return self.marginal_error <= MOST_MARGINAL_ERROR


def align(
    first: Tensor,
    second: Tensor,
    first_mask: Tensor,
    second_mask: Tensor,
    *,
    epsilon: float,
    iterations: int,
    tolerance: float,
) -> Alignment:
    """Match the steps of B pairs of trajectories.

    Gradients reach the embeddings through the costs and through the plan: R is the plan's cost, not the regularised
    optimum, so that the envelope theorem does not spare the latter. They are those of a plan that has converged.

    Args:
        first: (B, T, D) embeddings, finite.
        second: (B, S, D) likewise.
        first_mask: (B, T) bool, the steps that exist, at least one.
        second_mask: (B, S) likewise.
        epsilon: weight of the plan's entropy, > 0. Costs lie in [0, 2]: at 1 the plan is nearly uniform.
        iterations: of Sinkhorn, at most.
        tolerance: marginal error below which they end early.

    Raises:
        ValueError: for bad shapes or values.
    """
    ours, first_defined = directions(first)
    theirs, second_defined = directions(second)
    cost = (1 - ours @ theirs.mT).clamp(min=0)  # rounding makes some cosines larger than 1
    weights = (uniform_masses(first_mask).to(cost), uniform_masses(second_mask).to(cost))
    coupling, marginal_error = _Plan.apply(cost, *weights, epsilon, iterations, tolerance)
    defined = (first_defined | ~first_mask).all(-1) & (second_defined | ~second_mask).all(-1)
    return Alignment(-(coupling * cost).sum(-1), marginal_error, defined)


class _Plan(torch.autograd.Function):
    """(B, T, S) couplings and (B,) marginal errors, with the gradient of the former by the implicit function theorem.

    P = exp((f_t + g_s − C_ts) / ε), with f and g such that P keeps its sums while C changes. So for the gradient U of
    P, that of C is −P ∘ (U − x − y) / ε, where x (T) and y (S) make its rows and columns sum to 0. One linear system
    takes the place of a graph through every iteration.
    """

    @staticmethod
    def forward(ctx: Any, cost: Tensor, a: Tensor, b: Tensor, epsilon: float, *stop: Any) -> tuple[Tensor, Tensor]:
        iterations, tolerance = stop
        plan = sinkhorn(cost, epsilon, a, b, iterations=iterations, tolerance=tolerance, domain="exp")
        ctx.save_for_backward(plan.coupling)
        ctx.mark_non_differentiable(plan.marginal_error)
        ctx.epsilon = epsilon
        return plan.coupling, plan.marginal_error

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        # Sharp plans make the system nearly singular, so that it wants double precision.
        plan, upstream = ctx.saved_tensors[0].double(), gradients[0].double()
        rows, columns = plan.sum(-1, keepdim=True), plan.sum(-2)
        weighted, share = plan * upstream, plan / rows.clamp(min=_LEAST)
        # The complement of the rows' weights in [[diag rows, P], [Pᵀ, diag columns]] (x, y) = sums of P ∘ U. It does
        # not see a constant that moves from x to y, which the product of columns pins. Absent columns get a 1.
        system = torch.diag_embed(columns + (columns == 0) + _LEAST) - plan.mT @ share
        system = system + columns[..., None] * columns[..., None, :]
        wanted = weighted.sum(-2, keepdim=True).mT - plan.mT @ (weighted.sum(-1, keepdim=True) / rows.clamp(min=_LEAST))
        y = torch.linalg.solve(system, wanted)
        x = weighted.sum(-1, keepdim=True) / rows.clamp(min=_LEAST) - share @ y
        found = -plan * (upstream - x - y.mT) / ctx.epsilon
        return found.to(gradients[0].dtype), None, None, None, None, None


def directions(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T, D) embeddings of length 1, and (B, T) whether they have a direction; 0 where they have none."""
    lengths = torch.linalg.vector_norm(embeddings.detach(), dim=-1)
    defined = lengths > torch.finfo(embeddings.dtype).tiny ** 0.5  # below, squares vanish
    # The vectors are replaced before they are divided: the gradient of a length at 0 is no number.
    safe = torch.where(defined[..., None], embeddings, 1.0)
    directions = safe / torch.linalg.vector_norm(safe, dim=-1, keepdim=True)
    return torch.where(defined[..., None], directions, 0.0), defined
