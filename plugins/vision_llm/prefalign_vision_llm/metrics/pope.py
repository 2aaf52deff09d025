"""POPE as a metric that sums over batches and processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from prefalign_vision_llm.metrics.functional.pope import PopeCounts, pope

_COUNTS = tuple(item.name for item in fields(PopeCounts))
_RATES = ("accuracy", "precision", "recall", "f1", "yes_ratio", "unparsed")


class POPE(Metric):
    """Accuracy on yes/no questions about objects (Li et al. 2023), in percent, higher is better.

    `compute()` gives scalars: `accuracy`, `precision`, `recall`, `f1`, `yes_ratio`, `unparsed` (percent, float32; yes
    is the positive class) and the counts behind them (int64). A ratio over nothing is 0. `unparsed` answers hold
    neither yes nor no and are read as yes, as published.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in _COUNTS:
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, answers: Sequence[str], labels: Sequence[str]) -> None:
        """Count N answers against N labels, each `yes` or `no`.

        Raises:
            MetricInputError: N differs, an answer is not text, or a label is neither `yes` nor `no`.
        """
        counts = pope(answers, labels)
        for name in _COUNTS:
            getattr(self, name).add_(getattr(counts, name))

    def compute(self) -> dict[str, Tensor]:
        """Return the scalars that the class names."""
        counts = PopeCounts(*(int(getattr(self, name)) for name in _COUNTS))
        rates = {name: torch.tensor(getattr(counts, name), device=self.device) for name in _RATES}
        return {**rates, **{name: getattr(self, name).clone() for name in _COUNTS}}
