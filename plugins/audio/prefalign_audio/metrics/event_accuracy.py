"""Integrity and temporal accuracy as metrics over captions that name events."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from prefalign.interfaces import PrefalignError, unknown_name
from prefalign_audio.metrics.functional.events import EventRule, judge_events
from prefalign_audio.metrics.independence import ensure_independent_model


class EventAccuracy(Metric):
    """Shares of clips that hold all events of their caption, and that hold them in its order (BATON 2402.00744).

    `compute()` gives `integrity` and `temporal` (in [0, 1], NaN without clips) and `clips`. Temporal implies integrity.

    Args:
        events: names of the K events that the detector knows, in the order of its outputs.
        detector: gives (N, frames, K) probabilities of N sounds; None where they are computed elsewhere.
        rule: when an event counts as present, and two as in order.
        trainers, allow_trainer: see `JudgedMetric`; the detector's fingerprint is compared.
        kwargs: of torchmetrics' `Metric`.

    Raises:
        PrefalignError: for names that stand twice, or a detector that is one of the trainers.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    clips: Tensor
    whole: Tensor
    ordered: Tensor

    def __init__(
        self,
        events: Sequence[str],
        detector: Callable[[Any], Tensor] | None = None,
        *,
        rule: EventRule | None = None,
        trainers: Collection[str] = (),
        allow_trainer: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not events or len(set(events)) < len(events):
            raise PrefalignError(f"expected names of events, none twice, got {list(events)}")
        ensure_independent_model(detector, trainers, allow=allow_trainer)
        self.events, self.detector, self.rule = list(events), detector, rule or EventRule()
        for name in ("clips", "whole", "ordered"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def judge(self, sounds: Any, wanted: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Judge N clips: (N,) bool, all events present, and (N,) bool, present and in order.

        Args:
            sounds: what the detector takes, or the (N, frames, K) probabilities.
            wanted: for each clip the names of its events in the order of its caption.

        Raises:
            PrefalignError: for an unknown event, with near ones; a caption without events or with one twice; or
                probabilities that do not fit.
        """
        if isinstance(sounds, Tensor):
            probabilities = sounds
        elif self.detector is not None:
            with torch.no_grad():
                probabilities = self.detector(sounds)
        else:
            raise PrefalignError(f"without a detector, expected probabilities (N, frames, {len(self.events)})")
        if probabilities.ndim == 3 and probabilities.shape[2] != len(self.events):
            raise PrefalignError(f"expected {len(self.events)} events in the last axis, got {probabilities.shape[2]}")
        for names in wanted:
            for name in names:
                if name not in self.events:
                    raise unknown_name("event", name, self.events)
        return judge_events(probabilities, [[self.events.index(name) for name in names] for names in wanted], self.rule)

    def update(self, sounds: Any, wanted: Sequence[Sequence[str]]) -> None:
        """Add N clips; see `judge`.

        Raises:
            PrefalignError: see `judge`.
        """
        whole, ordered = self.judge(sounds, wanted)
        self.clips += len(whole)
        self.whole += int(whole.sum())
        self.ordered += int(ordered.sum())

    def compute(self) -> dict[str, Tensor]:
        """The scalars that the class names."""
        shares = {"integrity": self.whole / self.clips, "temporal": self.ordered / self.clips}
        return {**shares, "clips": self.clips.clone()}
