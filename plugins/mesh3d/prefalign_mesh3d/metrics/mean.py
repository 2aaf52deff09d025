"""What the metrics over many meshes share: means of named figures, and the share of meshes that could be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class MeanOverMeshes(Metric):
    """Means of figures over the meshes that have them.

    A mesh that cannot be measured is no 0: it has no part in the means and lowers `valid`. A set in which hardly any
    mesh is valid can have a fine mean, so the two are read together.

    `compute()` gives scalars: each figure's mean (NaN without a value), `valid` (share of meshes that were measured, in
    [0, 1]) and `meshes` (their number).

    Args:
        names: K names of figures.
        kwargs: of torchmetrics' `Metric`.
    """

    is_differentiable = False
    full_state_update = False

    totals: Tensor
    counts: Tensor
    meshes: Tensor
    measured: Tensor

    def __init__(self, names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = tuple(names)
        self.add_state("totals", torch.zeros(len(self.names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(len(self.names), dtype=torch.int64), dist_reduce_fx="sum")
        for name in ("meshes", "measured"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def add(self, figures: Mapping[str, float] | None) -> None:
        """Add one mesh.

        Args:
            figures: a value for each name, NaN for one that this mesh has not; None for a mesh that is not valid.
        """
        self.meshes += 1
        if figures is None:
            return
        self.measured += 1
        values = torch.tensor([figures[name] for name in self.names], dtype=torch.float64, device=self.totals.device)
        known = ~values.isnan()
        self.totals += values.nan_to_num(0.0)
        self.counts += known

    def compute(self) -> dict[str, Tensor]:
        """The scalars that the class names."""
        means = (self.totals / self.counts).float()
        found = {self.shown(name): mean for name, mean in zip(self.names, means.unbind(), strict=True)}
        return {**found, "valid": (self.measured / self.meshes).float(), "meshes": self.meshes.clone()}

    def shown(self, name: str) -> str:
        """A figure's name in the results."""
        return name


__all__ = ["MeanOverMeshes"]
