"""CHAIR as a metric that sums over batches and processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from prefalign_vision_llm.metrics.functional.chair import ChairCounts, chair
from prefalign_vision_llm.metrics.functional.vocabulary import ObjectVocabulary, coco_vocabulary

_PER_OBJECT = ("mentions", "hallucinated", "present", "recalled")


class CHAIR(Metric):
    """Hallucinated objects in captions (Rohrbach et al. 2018), in percent, lower is better.

    `compute()` gives scalars: `chair_i`, `chair_s`, `recall` (percent, float32) and the counts behind them (int64):
    `captions`, `captions_hallucinated`, `mentions`, `hallucinated`, `present`, `recalled`. A ratio over nothing is 0.
    Recall belongs beside any CHAIR figure, for a model that says nothing hallucinates nothing.

    Args:
        vocabulary: what counts as an object: an `ObjectVocabulary`, or object names for `ObjectVocabulary.of`. The COCO
            table of CHAIR by default.
        strict: the COCO table with the entries that are dead in its released form left dead.

    Raises:
        ValueError: `strict` with a vocabulary of one's own.

    Example:
        >>> metric = CHAIR(["circle", "square"])
        >>> metric.update(["a circle and a square"], [["circle"]])
        >>> metric.compute()["chair_i"]
        tensor(50.)
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    captions: Tensor
    captions_hallucinated: Tensor

    def __init__(
        self, vocabulary: ObjectVocabulary | Iterable[str] | None = None, *, strict: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if strict and vocabulary is not None:
            raise ValueError("strict belongs to the COCO table; a vocabulary was given as well")
        if vocabulary is None:
            vocabulary = coco_vocabulary(strict=strict)
        self.vocabulary = vocabulary if isinstance(vocabulary, ObjectVocabulary) else ObjectVocabulary.of(vocabulary)
        for name in ("captions", "captions_hallucinated"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        for name in _PER_OBJECT:  # (objects of the vocabulary,)
            self.add_state(name, torch.zeros(len(self.vocabulary.names), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, captions: Sequence[str], objects: Sequence[Iterable[str]]) -> None:
        """Count N captions against the N sets of objects in their images.

        Raises:
            MetricInputError: N differs, a caption is not text, or an object is not in the vocabulary.
        """
        counts = chair(captions, objects, self.vocabulary)
        self.captions += counts.captions
        self.captions_hallucinated += counts.captions_hallucinated
        for name in _PER_OBJECT:
            tally = getattr(counts, name)
            state = getattr(self, name)
            state += torch.tensor([tally[item] for item in self.vocabulary.names], device=state.device)

    def compute(self) -> dict[str, Tensor]:
        """Return the scalars that the class names."""
        counts = self._local_counts()
        rates = {
            name: torch.tensor(getattr(counts, name), device=self.device) for name in ("chair_i", "chair_s", "recall")
        }
        sums = {name: getattr(self, name).sum() for name in ("captions", "captions_hallucinated", *_PER_OBJECT)}
        return {**rates, **sums}

    def counts(self) -> ChairCounts:
        """Return the counts per object, summed over all processes. Every process must call it."""
        with self.sync_context(
            dist_sync_fn=self.dist_sync_fn, should_sync=self._to_sync, should_unsync=self._should_unsync
        ):
            return self._local_counts()

    def _local_counts(self) -> ChairCounts:
        tallies = (
            Counter(dict(zip(self.vocabulary.names, getattr(self, name).tolist(), strict=True))) for name in _PER_OBJECT
        )
        return ChairCounts(int(self.captions), int(self.captions_hallucinated), *tallies)
