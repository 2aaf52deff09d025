"""Quality of a reward model as a metric over batches and processes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from prefalign.interfaces import PrefalignError
from prefalign_audio.metrics.functional.reward_quality import Kind, reward_quality


class RewardQuality(Metric):
    """How well a reward model agrees with people: pair accuracy, AUC, ECE, Spearman, Kendall, each with an interval.

    `compute()` gives each figure under its name and its bounds as NAME_low and NAME_high (float64; NaN where the data
    cannot give it), and `clips`. See `prefalign_audio.metrics.functional.reward_quality` for their definitions.

    Args:
        kind: `binary` for labels in [0, 1] and scores that are probabilities; `ratings` for any finite numbers, which
            leaves out `auc`, `ece` and `accuracy`.
        rounds, confidence, seed: of the bootstrap, which draws whole prompts.
        kwargs: of torchmetrics' `Metric`.
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False

    def __init__(
        self, kind: Kind = "binary", *, rounds: int = 1000, confidence: float = 0.95, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.kind: Kind = kind
        self.rounds, self.confidence, self.seed = rounds, confidence, seed
        for name in ("scores", "labels", "groups"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, scores: Tensor, labels: Tensor, prompts: Sequence[str]) -> None:
        """Add N clips.

        Args:
            scores: (N,) the reward model's.
            labels: (N,) people's.
            prompts: (N,) what each clip answers; pairs are formed within a prompt.

        Raises:
            PrefalignError: for lists of unequal length.
        """
        if not scores.shape == labels.shape == (len(prompts),):
            shapes = f"{tuple(scores.shape)}, {tuple(labels.shape)} and {len(prompts)}"
            raise PrefalignError(f"expected N scores, N labels and N prompts, got {shapes}")
        self.scores.append(scores.detach().double().to(self.device))
        self.labels.append(labels.detach().double().to(self.device))
        # Hashed, since processes exchange numbers only.
        digests = [hashlib.sha256(prompt.encode()).digest()[:8] for prompt in prompts]
        numbers = [int.from_bytes(digest, "big", signed=True) for digest in digests]
        self.groups.append(torch.tensor(numbers, dtype=torch.int64, device=self.device))

    def compute(self) -> dict[str, Tensor]:
        """The scalars that the class names.

        Raises:
            PrefalignError: for numbers outside their range, with the index of the first.
        """
        scores, labels, groups = (
            dim_zero_cat(getattr(self, name)).cpu().numpy() for name in ("scores", "labels", "groups")
        )
        found = reward_quality(
            scores,
            labels,
            groups,
            kind=self.kind,
            rounds=self.rounds,
            confidence=self.confidence,
            seed=self.seed,
        )
        values = {"clips": float(len(scores))}
        for name, interval in found.items():
            values |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}
