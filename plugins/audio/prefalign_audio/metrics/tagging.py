"""Metrics over a tagger's posteriors: KL to the reference clip's, and the Inception Score."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from prefalign.interfaces import Encoder, PrefalignError
from prefalign_audio.metrics.functional.extrapolation import canonical_order
from prefalign_audio.metrics.functional.tagging import Dialect, inception_score, tag_divergences
from prefalign_audio.metrics.judged import JudgedMetric, Sounds


class TaggerKL(JudgedMetric):
    """Mean divergence of generated clips' tags from those of the reference clip of the same caption, in nats.

    `compute()` gives `kl_softmax` or `kl_sigmoid`, after the dialect, and `clips`. All-silent sets can get good values:
    read `SoundGuard` beside it.

    Args:
        tagger: an encoder whose features are logits of K tags, or K for logits that are computed elsewhere.
        dialect: `softmax` (one tag holds) or `sigmoid` (each by itself); their values do not compare.
        trainers, allow_trainer: see `JudgedMetric`.
        kwargs: of torchmetrics' `Metric`.
    """

    higher_is_better = False

    total: Tensor
    clips: Tensor

    def __init__(
        self,
        tagger: Encoder | int,
        dialect: Dialect = "softmax",
        *,
        trainers: Collection[str] = (),
        allow_trainer: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(tagger, trainers, allow_trainer, **kwargs)
        if dialect not in ("softmax", "sigmoid"):
            raise PrefalignError(f"expected the dialect 'softmax' or 'sigmoid', got {dialect!r}")
        self.dialect: Dialect = dialect
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("clips", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, generated: Sounds, reference: Sounds) -> None:
        """Compare N generated sounds, or their (N, K) logits, with N reference ones in the order of their captions.

        Raises:
            PrefalignError: for another number of reference sounds; see also `JudgedMetric.features`.
        """
        divergences = tag_divergences(self.features(generated), self.features(reference), self.dialect)
        self.total += divergences.sum()
        self.clips += len(divergences)

    def compute(self) -> dict[str, Tensor]:
        """The scalars that the class names."""
        return {f"kl_{self.dialect}": self.total / self.clips, "clips": self.clips.clone()}


class InceptionScore(JudgedMetric):
    """exp of the mean divergence between one clip's tags and all clips' tags: sure and varied is high.

    `compute()` gives `inception_score` and `inception_score_sd`, mean and standard deviation over splits, and `clips`.

    Args:
        tagger: an encoder whose features are logits of K classes, or K for logits that are computed elsewhere.
        splits: number of parts.
        seed: of the shuffle before the split, which depends on the set of clips and not on their order.
        trainers, allow_trainer: see `JudgedMetric`.
        kwargs: of torchmetrics' `Metric`.
    """

    higher_is_better = True

    def __init__(
        self,
        tagger: Encoder | int,
        splits: int = 10,
        *,
        seed: int = 0,
        trainers: Collection[str] = (),
        allow_trainer: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(tagger, trainers, allow_trainer, **kwargs)
        self.splits, self.seed = splits, seed
        self.add_state("logits", [], dist_reduce_fx="cat")

    def update(self, sounds: Sounds) -> None:
        """Add N sounds, or their (N, K) logits.

        Raises:
            PrefalignError: see `JudgedMetric.features`.
        """
        self.logits.append(self.features(sounds))

    def compute(self) -> dict[str, Tensor]:
        """The scalars that the class names.

        Raises:
            PrefalignError: for fewer clips than splits.
        """
        logits = dim_zero_cat(self.logits)
        shuffle = torch.randperm(len(logits), generator=torch.Generator().manual_seed(self.seed)).to(logits.device)
        mean, spread = inception_score(logits[canonical_order(logits)][shuffle], self.splits)
        clips = torch.tensor(len(logits), device=self.device)
        return {"inception_score": mean, "inception_score_sd": spread, "clips": clips}
