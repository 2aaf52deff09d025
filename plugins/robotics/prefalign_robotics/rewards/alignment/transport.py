"""What the steps of one trajectory cost when they are matched with those of another.

R(a, b) = −⟨P, C⟩ with C_ts = 1 − cos(φ(a_t), φ(b_s)) and P the entropic plan between the steps of a and those of b, all
steps of a trajectory weighing the same. Step t of a is charged with its own row: r_t = −Σ_s P_ts C_ts, which is minus
the diagonal of P Cᵀ in RAPL (Tian et al., arXiv 2310.07932 and 2412.04835) and the reward of OTR (Luo et al., arXiv
2303.13971). Order in time plays no part, so a trajectory that runs backwards is as good.

Axes: B pairs of trajectories, T steps of the first, S of the second, D numbers of an embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from prefalign.functional.transport import sinkhorn, uniform_masses

#: Plans whose sums miss their marginals by more (5% of the mass is in the wrong place) are no basis for a reward.
MOST_MARGINAL_ERROR = 0.1


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

    Gradients run through the iterations of the plan: R is the plan's cost, not the regularised optimum, so that the
    envelope theorem does not spare them. They are exact for the plan as it is, converged or not.

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
    plan = sinkhorn(
        cost,
        epsilon,
        *weights,
        iterations=iterations,
        tolerance=tolerance,
        domain="exp",
        unroll=torch.is_grad_enabled(),
    )
    defined = (first_defined | ~first_mask).all(-1) & (second_defined | ~second_mask).all(-1)
    return Alignment(-(plan.coupling * cost).sum(-1), plan.marginal_error.detach(), defined)


def directions(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T, D) embeddings of length 1, and (B, T) whether they have a direction; 0 where they have none."""
    lengths = torch.linalg.vector_norm(embeddings.detach(), dim=-1)
    defined = lengths > torch.finfo(embeddings.dtype).tiny ** 0.5  # below, squares vanish
    # The vectors are replaced before they are divided: the gradient of a length at 0 is no number.
    safe = torch.where(defined[..., None], embeddings, 1.0)
    directions = safe / torch.linalg.vector_norm(safe, dim=-1, keepdim=True)
    return torch.where(defined[..., None], directions, 0.0), defined
