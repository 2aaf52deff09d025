"""The Fréchet distance as a metric that sums over batches and processes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from prefalign.interfaces import Encoder, PrefalignError
from prefalign_audio.metrics.functional.extrapolation import extrapolate
from prefalign_audio.metrics.functional.frechet import Moments, frechet_distance
from prefalign_audio.metrics.judged import JudgedMetric, Sounds

SIDES = ("generated", "reference")


class FrechetDistance(JudgedMetric):
    """Fréchet distance between generated and reference sounds in the space of any encoder.

    `compute()` gives scalars: `frechet` (float64, squared units of the embedding), `generated` and `reference`
    (numbers of sounds), and with `infinity` also `frechet_infinity` and `frechet_infinity_fit` (R² of its line). A
    value means nothing without its encoder, its reference set, both numbers and the clips' duration: report them.

    Args:
        encoder: the encoder, or the width of features that are computed elsewhere.
        infinity: extrapolate to endless samples; keeps all generated features in memory.
        steps, seed: of the extrapolation.
        trainers, allow_trainer: see `JudgedMetric`.
        kwargs: of torchmetrics' `Metric`.
    """

    higher_is_better = False

    def __init__(
        self,
        encoder: Encoder | int,
        *,
        infinity: bool = False,
        steps: int = 15,
        seed: int = 0,
        trainers: Collection[str] = (),
        allow_trainer: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, trainers, allow_trainer, **kwargs)
        self.infinity, self.steps, self.seed = infinity, steps, seed
        for side in SIDES:
            for name, shape in {"count": (), "total": (self.width,), "outer": (self.width, self.width)}.items():
                kind = torch.int64 if name == "count" else torch.float64
                self.add_state(f"{side}_{name}", torch.zeros(shape, dtype=kind), dist_reduce_fx="sum")
        if infinity:
            self.add_state("kept", [], dist_reduce_fx="cat")

    def update(self, sounds: Sounds, real: bool) -> None:
        """Add N sounds, or their (N, D) features, to the reference set if `real`, else to the generated ones.

        Raises:
            PrefalignError: see `JudgedMetric.features`.
        """
        features, side = self.features(sounds), SIDES[real]
        getattr(self, f"{side}_count").add_(len(features))
        getattr(self, f"{side}_total").add_(features.sum(0))
        getattr(self, f"{side}_outer").add_(features.T @ features)
        if self.infinity and not real:
            self.kept.append(features)

    def moments(self, side: str) -> Moments:
        """The Gaussian of the `generated` or the `reference` sounds that this process holds.

        Raises:
            PrefalignError: for fewer than 2 of them.
        """
        count, total, outer = (getattr(self, f"{side}_{name}") for name in ("count", "total", "outer"))
        try:
            return Moments.from_sums(int(count), total, outer)
        except PrefalignError as error:
            raise PrefalignError(f"{side} sounds: {error}") from None

    def compute(self) -> dict[str, Tensor]:
        """The scalars that the class names.

        Raises:
            PrefalignError: for fewer than 2 sounds on a side, or too few to extrapolate from.
        """
        generated, reference = (self.moments(side) for side in SIDES)
        found = {"frechet": frechet_distance(generated, reference)}
        found |= {side: getattr(self, f"{side}_count").clone() for side in SIDES}
        if self.infinity:
            line = extrapolate(dim_zero_cat(self.kept), reference, steps=self.steps, seed=self.seed)
            for name, value in {"frechet_infinity": line.distance, "frechet_infinity_fit": line.fit}.items():
                found[name] = torch.tensor(value, dtype=torch.float64, device=self.device)
        return found
