"""From the rows of a batch to scores of its pairs."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from prefalign.functional.length import shorten
from prefalign.interfaces import CapabilityError, PrefalignError, ResponseScores
from prefalign.objectives.metrics import mean_metrics


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


#: The β that is used where none is given, by the unit of the scores. 2000 is Tango 2's and TangoFlux's, on half errors.
DEFAULT_BETA = {"nats": 0.1, "mse/2": 2000.0, "mse": 1000.0}


def default_beta(scores: ResponseScores) -> float:
    """The usual β for scores of this unit.

    Raises:
        PrefalignError: for a unit that has none.
    """
    if scores.units not in DEFAULT_BETA:
        raise PrefalignError(f"there is no default beta for scores in {scores.units}; give beta")
    return DEFAULT_BETA[scores.units]


def error_metrics(policy: ResponseScores, reference: ResponseScores | None, **rows: Tensor) -> dict[str, Tensor]:
    """Mean denoising errors of the rows by name, under policy and reference; nothing for scores in nats."""
    if policy.errors is None:
        return {}
    found = mean_metrics(**{f"mse__{name}": policy.errors[index] for name, index in rows.items()})
    if reference is not None and reference.errors is not None:
        found |= mean_metrics(**{f"ref_mse__{name}": reference.errors[index] for name, index in rows.items()})
    return found


def plain_likelihood(scores: ResponseScores, rows: Tensor) -> tuple[Tensor, Tensor]:
    """(n,) log-likelihoods of the rows and (n,) numbers of units behind them.

    For tokens the unweighted log-probability in nats and the number of tokens. For denoisers minus the whole error,
    which is what training on a response minimises, and 1.

    Raises:
        CapabilityError: if the scores hold neither.
    """
    if scores.errors is not None:
        return -scores.errors[rows], torch.ones_like(scores.errors[rows])
    return token_form(scores)[0][rows].sum(-1), scores.lengths[rows]
