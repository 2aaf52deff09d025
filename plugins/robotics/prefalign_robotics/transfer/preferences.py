"""From a coupling of two tasks' segments to preferences in the target task (PEARL's CPA, arXiv 2306.03615).

Each target segment is a mixture of source segments, so its preferences are means over pairs of source segments. The
means are normalised: sums of products of couplings are no probabilities, and no threshold would mean anything.

Axes: … problems, n source segments, m target segments.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Target pairs whose mixtures meet less than this share of labelled source pairs get no answer.
LEAST_EVIDENCE = 1e-6


def preference_matrix(pairs: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Labels as matrices over source segments.

    Args:
        pairs: (P, 2) compared segments.
        labels: (…, P) P(second is better).
        count: of segments, n.

    Returns:
        (…, n, n) summed P(second is better) − 1/2 at (first, second), with the opposite sign at (second, first); and
        (n, n) how often each ordered pair was compared.
    """
    first, second = pairs.T
    flat = labels.reshape(-1, labels.shape[-1])
    signed = labels.new_zeros(len(flat), count * count)
    signed.index_add_(1, first * count + second, flat - 0.5)
    signed.index_add_(1, second * count + first, 0.5 - flat)
    observed, ones = labels.new_zeros(count * count), labels.new_ones(len(pairs))
    observed.index_add_(0, first * count + second, ones).index_add_(0, second * count + first, ones)
    return signed.reshape(*labels.shape[:-1], count, count), observed.reshape(count, count)


def transferred(coupling: Tensor, signed: Tensor, observed: Tensor) -> Tensor:
    """(…, m, m) P(the column's segment is better than the row's) − 1/2; NaN where next to nothing was compared.

    W = coupling with columns that sum to 1; then (Wᵀ B W) / (Wᵀ I W) with B and I from `preference_matrix`. Labels of
    all pairs are the case in which I is 1 everywhere.

    Args:
        coupling: (…, n, m).
        signed: (…, n, n).
        observed: (n, n) or (…, n, n).
    """
    mixture = coupling / coupling.sum(-2, keepdim=True).clamp(min=torch.finfo(coupling.dtype).tiny)
    transposed = mixture.transpose(-1, -2)
    evidence = transposed @ observed @ mixture
    margins = (transposed @ signed @ mixture) / evidence.clamp(min=LEAST_EVIDENCE)
    return torch.where(evidence > LEAST_EVIDENCE, margins, torch.nan)


def literal(coupling: Tensor, preferences: Tensor) -> Tensor:
    """(…, m, m) the sums Tᵀ Z T as PEARL's reviews spell them out, which are no probabilities.

    Three segments a side and a uniform coupling turn a certain preference of 1 into 1/9.

    Args:
        coupling: (…, n, m) T.
        preferences: (…, n, n) Z, P(the column's segment is better than the row's) of every pair.
    """
    return coupling.transpose(-1, -2) @ preferences @ coupling
