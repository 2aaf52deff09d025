"""Batches for the objectives' tests: rows 0..B-1 are the chosen responses, rows B..2B-1 the rejected ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from prefalign.interfaces import Relations, ResponseScores


def _relations(pairs: int, extra: Sequence[float] = (), mismatched: int = 0, **changes: torch.Tensor) -> Relations:
    """B pairs, then one unpaired row for each label in `extra`, then mismatched rows."""
    rows = 2 * pairs + len(extra)
    labels = [1.0] * pairs + [0.0] * pairs + list(extra) + [float("nan")] * mismatched
    records = [*range(pairs), *range(pairs), *range(pairs, pairs + len(extra)), *[-1] * mismatched]
    values = {
        "record": torch.tensor(records, dtype=torch.long),
        "chosen": torch.arange(pairs),
        "rejected": torch.arange(pairs, 2 * pairs),
        "probability": torch.ones(pairs),
        "tie": torch.zeros(pairs, dtype=torch.bool),
        "margin": torch.zeros(pairs),
        "pair_weight": torch.ones(pairs),
        "label": torch.tensor(labels),
        "rank": torch.tensor([0] * pairs + [1] * pairs + [-1] * (len(extra) + mismatched), dtype=torch.long),
        "reward": torch.full((rows + mismatched,), float("nan")),
        "row_weight": torch.tensor([1.0] * rows + [0.0] * mismatched),
        "ids": [f"r{i}" for i in range(pairs + len(extra))],
        "annotators": [None] * (pairs + len(extra)),
        "mismatched": torch.arange(rows, rows + mismatched),
    }
    return Relations(**{**values, **changes})


def _scores(logps: Sequence[float] | torch.Tensor, lengths: Sequence[float] | None = None, **more) -> ResponseScores:
    """Scores in float64; one token a row unless lengths are given."""
    values = logps if isinstance(logps, torch.Tensor) else torch.tensor(logps, dtype=torch.float64)
    counts = torch.ones_like(values) if lengths is None else torch.tensor(lengths, dtype=torch.float64)
    return ResponseScores(logps=values, lengths=counts.detach(), **more)


def _tokens(
    rows: Sequence[Sequence[float]], weights: Sequence[Sequence[float]] | None = None, **more
) -> ResponseScores:
    """Scores of responses given token by token, padded on the right, in float64."""
    width = max(len(row) for row in rows)
    logps, weight = (torch.zeros(len(rows), width, dtype=torch.float64) for _ in range(2))
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        logps[i, : len(row)] = torch.tensor(row, dtype=torch.float64)
        mask[i, : len(row)] = True
        weight[i, : len(row)] = 1.0 if weights is None else torch.tensor(weights[i], dtype=torch.float64)
    return ResponseScores(
        logps=(logps * weight).sum(-1),
        lengths=mask.sum(-1).double(),
        token_logps=logps,
        mask=mask,
        weights=weight,
        **more,
    )


@pytest.fixture
def relations() -> Callable[..., Relations]:
    """Makes relations; see `_relations`."""
    return _relations


@pytest.fixture
def scores() -> Callable[..., ResponseScores]:
    """Makes scores of whole responses; see `_scores`."""
    return _scores


@pytest.fixture
def tokens() -> Callable[..., ResponseScores]:
    """Makes scores with token log-probabilities; see `_tokens`."""
    return _tokens


@pytest.fixture
def golden() -> tuple[ResponseScores, ResponseScores, Relations]:
    """Policy, reference and relations of the four pairs on which the peers' code was run (float64)."""
    lengths = [5, 12, 4, 9, 6, 10, 8, 9]
    policy = _scores([-12.5, -30, -8.25, -21, -14, -27.5, -16, -21], lengths)
    reference = _scores([-13, -29, -9, -24, -13.5, -28, -15, -20], lengths)
    return policy, reference, _relations(4)
