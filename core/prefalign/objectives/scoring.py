"""From the rows of a batch to scores of its pairs."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from prefalign.functional.length import shorten
from prefalign.interfaces import CapabilityError, PrefalignError, ResponseScores


@dataclass(frozen=True)
class SequenceScore:
    """How token log-probabilities become the score of a response.

    Attributes:
        ld_alpha: weight of the tokens beyond the length of the pair's shorter response (LD-DPO); None for none.
        average: divide by the sum of the token weights (RLHF-V, arXiv 2312.00849 eq. 5) instead of leaving the sum.

    Raises:
        PrefalignError: for an `ld_alpha` outside [0, 1].
    """

    ld_alpha: float | None = None
    average: bool = False

    def __post_init__(self) -> None:
        if self.ld_alpha is not None and not 0 <= self.ld_alpha <= 1:
            raise PrefalignError(f"expected 0 <= ld_alpha <= 1, got {self.ld_alpha}")

    @property
    def by_token(self) -> bool:
        """Whether token log-probabilities are needed."""
        return self.average or self.ld_alpha is not None

    def __call__(self, scores: ResponseScores, rows: Tensor, others: Tensor) -> Tensor:
        """(B,) scores of `rows`, each paired with the row of the same place in `others`.

        Raises:
            PrefalignError: with `average`, for a response whose token weights do not sum to a positive number.
        """
        if not self.by_token:
            return scores.logps[rows]
        logps, mask, weights = token_form(scores)
        weight = weights[rows]
        if self.ld_alpha is not None:
            shared = torch.minimum(scores.lengths[rows], scores.lengths[others])
            weight = shorten(weight, mask[rows], shared, self.ld_alpha)
        total = (weight * logps[rows]).sum(-1)
        if not self.average:
            return total
        norm = weight.sum(-1)
        if bool((norm <= 0).any()):
            raise PrefalignError("average divides by the sum of a response's token weights, which must be positive")
        return total / norm


def token_form(scores: ResponseScores) -> tuple[Tensor, Tensor, Tensor]:
    """Token log-probabilities (N, T), mask (N, T) and weights (N, T); weights are 1 inside the mask if none are given.

    Raises:
        CapabilityError: if the scores hold no token log-probabilities.
    """
    if scores.token_logps is None or scores.mask is None:
        raise CapabilityError("the objective needs token log-probabilities, which the policy did not give")
    weights = scores.mask.to(scores.token_logps.dtype) if scores.weights is None else scores.weights
    return scores.token_logps, scores.mask, weights


def in_full_precision(scores: ResponseScores) -> ResponseScores:
    """The same with half-precision tensors in float32, so that sums and differences keep their digits."""
    half = (torch.float16, torch.bfloat16)
    named = {item.name: getattr(scores, item.name) for item in fields(scores)}
    wide: dict[str, Any] = {k: v.float() for k, v in named.items() if isinstance(v, Tensor) and v.dtype in half}
    return replace(scores, **wide)


def check_unit(scores: ResponseScores, default_beta: bool) -> None:
    """Refuse a β that the user did not choose for scores that it was not meant for.

    Raises:
        PrefalignError: if β is the default and the scores are not in nats.
    """
    if default_beta and scores.units != "nats":
        raise PrefalignError(
            f"the default beta is meant for scores in nats, and these are in {scores.units}; give beta "
            "(for denoisers, 100 to 5000 is usual)"
        )
