"""How often a judge ranks pairs as people did: the one number that every reward should report, by subset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from prefalign.interfaces import PrefalignError
from prefalign.interfaces.errors import unknown_name


def pair_accuracy(margins: Tensor) -> Tensor:
    """Share of pairs whose chosen response is scored above the rejected one; equal scores count half, as chance would.

    Args:
        margins: (B,) score of the chosen response less that of the rejected one, in any unit.

    Returns:
        Scalar float32 in [0, 1]; NaN without pairs.
    """
    return correct(margins).mean()


def correct(margins: Tensor) -> Tensor:
    """(B,) 1 for a positive margin, 1/2 for 0, else 0."""
    return (margins.sign().float() + 1) / 2


class PairAccuracy(Metric):
    """Pair accuracy over batches and processes, as a whole and by subset.

    `compute()` gives scalars: `accuracy` over all judged pairs, `coverage` (the share of pairs that could be judged)
    and, with subsets, the accuracy of each under its name and their plain mean as `macro_accuracy`. A subset without a
    judged pair is NaN, and left out of the mean.

    Args:
        subsets: names of the subsets that pairs may belong to.
        kwargs: of torchmetrics' `Metric`.

    Raises:
        PrefalignError: for a subset with the name of another number.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    def __init__(self, subsets: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.subsets = list(subsets)
        taken = {"accuracy", "coverage", "macro_accuracy"} & set(self.subsets)
        if taken or len(set(self.subsets)) < len(self.subsets):
            raise PrefalignError(f"subsets need names of their own, none twice; got {self.subsets}")
        # One place for pairs of no subset, which comes last. Half points are counted, so that sums stay exact.
        self.add_state("halves", torch.zeros(len(self.subsets) + 1, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("judged", torch.zeros(len(self.subsets) + 1, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("seen", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, margins: Tensor, subsets: Sequence[str | None] | None = None, valid: Tensor | None = None) -> None:
        """Count B pairs.

        Args:
            margins: (B,) score of the chosen response less that of the rejected one.
            subsets: (B,) the subset of each pair; None for pairs of no subset.
            valid: (B,) bool, which pairs could be judged; all if None.

        Raises:
            PrefalignError: for lists of another length, an unknown subset, or a margin of NaN that is called valid.
        """
        names: Sequence[str | None] = [None] * len(margins) if subsets is None else subsets
        keep = torch.ones_like(margins, dtype=torch.bool) if valid is None else valid
        if not len(margins) == len(names) == len(keep):
            raise PrefalignError(f"{len(margins)} margins with {len(names)} subsets and {len(keep)} valid flags")
        if bool(margins[keep].isnan().any()):
            raise PrefalignError("a margin is NaN: mark pairs that could not be judged as not valid")
        for name in names:
            if name is not None and name not in self.subsets:
                raise unknown_name("subset", name, self.subsets)
        places = [len(self.subsets) if name is None else self.subsets.index(name) for name in names]
        index = torch.tensor(places, dtype=torch.long, device=margins.device)[keep]
        self.halves.index_add_(0, index, (2 * correct(margins[keep])).long())
        self.judged.index_add_(0, index, torch.ones_like(index))
        self.seen += len(margins)

    def compute(self) -> dict[str, Tensor]:
        """The scalars that the class names, float32."""
        judged = self.judged.sum()
        found = {"accuracy": self.halves.sum() / (2 * judged), "coverage": judged / self.seen}
        by_subset = self.halves[:-1] / (2 * self.judged[:-1])
        if self.subsets:
            found["macro_accuracy"] = by_subset.nanmean()
        found |= dict(zip(self.subsets, by_subset, strict=True))
        return {name: value.float() for name, value in found.items()}
