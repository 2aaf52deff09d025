"""f-divergences: what takes the place of the log ratio when another divergence holds the policy to its reference.

f-DPO (arXiv 2309.16240), table 1: the implicit reward is β f'(u) at u = π/π_ref. Each function maps x = log u (nats,
any shape) to f'(e^x), with the additive constant chosen so that f'(1) = 0: a policy equal to its reference earns
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

# e^80 still fits float32 and bfloat16. Past it the reward is flat instead of infinite, so that differences stay finite.
_LARGEST_EXPONENT = 80.0


def reverse_kl(ratio: Tensor) -> Tensor:
    """log u, up to a constant: DPO's own reward."""
    return ratio


def forward_kl(ratio: Tensor) -> Tensor:
    """1 − 1/u."""
    return -torch.expm1(torch.clamp(-ratio, max=_LARGEST_EXPONENT))


def js_divergence(ratio: Tensor) -> Tensor:
    """log(2u / (1 + u)) = log 2 + log σ(x)."""
    return math.log(2) + logsigmoid(ratio)


def alpha_divergence(ratio: Tensor, alpha: float = 0.5) -> Tensor:
    """(u^{α−1} − 1) / (α − 1); α → 1 is `reverse_kl`, α = 0 is `forward_kl`."""
    if abs(alpha - 1) < 1e-6:
        return ratio
    return torch.expm1(torch.clamp((alpha - 1) * ratio, max=_LARGEST_EXPONENT)) / (alpha - 1)


#: By TRL's names. `alpha_divergence` also takes its coefficient.
DIVERGENCES: dict[str, Callable[..., Tensor]] = {
    "reverse_kl": reverse_kl,
    "forward_kl": forward_kl,
    "js_divergence": js_divergence,
    "alpha_divergence": alpha_divergence,
}
