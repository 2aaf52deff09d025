"""What a tagger says of generated sounds: divergence from the reference's tags, and the Inception Score."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError

Dialect = Literal["softmax", "sigmoid"]

_EPSILON = 1e-6  # added to generated posteriors before the logarithm, as in published figures


def tag_divergences(generated: Tensor, reference: Tensor, dialect: Dialect) -> Tensor:
    """Σₖ qₖ (log qₖ − log(pₖ + 10⁻⁶)) of each clip, with q the reference's and p the generated clip's posteriors.

    `softmax` takes the tags as classes of which one holds (AudioGen 2209.15352; the figure papers call KL). `sigmoid`
    takes each tag by itself; as published, it adds up the terms of the tags that hold and not those of the tags that do
    not, so that it is no divergence in the strict sense and may be negative. Figures of the two do not compare.

    Args:
        generated, reference: (N, K) logits for the same N captions in the same order. Posteriors of a softmax may be
            given as their logarithms.
        dialect: how logits become posteriors.

    Returns:
        (N,) float64, nats. Equal clips give about −K · 10⁻⁶.

    Raises:
        PrefalignError: for other or unequal shapes, or an unknown dialect.
    """
    if generated.ndim != 2 or generated.shape != reference.shape:
        shapes = f"{tuple(generated.shape)} and {tuple(reference.shape)}"
        raise PrefalignError(f"expected logits of shape (N, K) for generated and reference clips, got {shapes}")
    if dialect == "softmax":
        p, q = generated.double().softmax(1), reference.double().softmax(1)
    elif dialect == "sigmoid":
        p, q = generated.double().sigmoid(), reference.double().sigmoid()
    else:
        raise PrefalignError(f"expected the dialect 'softmax' or 'sigmoid', got {dialect!r}")
    return (torch.xlogy(q, q) - q * (p + _EPSILON).log()).sum(1)


def inception_score(logits: Tensor, splits: int = 10) -> tuple[Tensor, Tensor]:
    """exp of the mean over clips of KL(p(y|x) ‖ p̄(y)), over consecutive splits (Salimans et al. 1606.03498, 4).

    Args:
        logits: (N, K); where their order means something, shuffle them first.
        splits: number of parts of N / splits clips, each with a p̄ of its own.

    Returns:
        Mean and standard deviation (divided by the number of splits, as published) over splits: scalars, float64,
        the mean in [1, K].

    Raises:
        PrefalignError: for another shape, or fewer clips than splits.
    """
    if logits.ndim != 2:
        raise PrefalignError(f"expected logits of shape (N, K), got {tuple(logits.shape)}")
    if not 1 <= splits <= len(logits):
        raise PrefalignError(f"expected from 1 split to as many as the {len(logits)} clips, got {splits}")
    logs = logits.double().log_softmax(1)
    edges = [index * len(logs) // splits for index in range(splits + 1)]
    scores = []
    for start, stop in pairwise(edges):
        part = logs[start:stop]
        marginal = part.logsumexp(0) - torch.tensor(len(part), dtype=torch.float64).log()
        terms = torch.where(part > -torch.inf, part.exp() * (part - marginal), 0)  # 0 · log 0 is 0
        scores.append(terms.sum(1).mean().exp())
    found = torch.stack(scores)
    return found.mean(), found.std(correction=0)
