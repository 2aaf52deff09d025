"""From a detector's frames to BATON's two questions: are all events there, and are they in order (2402.00744)?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError


@dataclass(frozen=True, kw_only=True)
class EventRule:
    """When an event counts as present, and two as in order.

    Attributes:
        threshold: mean probability above which neighbouring frames make an event present, in (0, 1).
        run: number of neighbouring frames of that mean.
        gap: frames by which the centroid of an event has to precede that of the next, at least 0.

    Raises:
        PrefalignError: for numbers outside their ranges.
    """

    threshold: float = 0.5
    run: int = 2
    gap: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise PrefalignError(f"threshold: expected a probability in (0, 1), got {self.threshold}")
        if self.run < 1:
            raise PrefalignError(f"run: expected at least 1 frame, got {self.run}")
        if not self.gap >= 0:
            raise PrefalignError(f"gap: expected at least 0 frames, got {self.gap}")


def events_present(probabilities: Tensor, rule: EventRule) -> Tensor:
    """(N, K) bool: whether `run` neighbouring frames anywhere have a mean probability above the threshold.

    Args:
        probabilities: (N, T, K) of clip, frame, event.
        rule: when an event counts.

    Raises:
        PrefalignError: for another shape, fewer frames than a run, or numbers outside [0, 1].
    """
    probabilities = checked_probabilities(probabilities)
    if probabilities.shape[1] < rule.run:
        raise PrefalignError(f"expected at least {rule.run} frames, got {probabilities.shape[1]}")
    return probabilities.unfold(1, rule.run, 1).mean(-1).amax(1) > rule.threshold


def centroids(probabilities: Tensor) -> Tensor:
    """(N, K) frame index at which each event lies, Σ t pₜ / Σ pₜ; NaN where all frames are 0."""
    probabilities = checked_probabilities(probabilities)
    frames = torch.arange(probabilities.shape[1], dtype=probabilities.dtype, device=probabilities.device)
    return torch.einsum("ntk,t->nk", probabilities, frames) / probabilities.sum(1)


def judge_events(
    probabilities: Tensor, wanted: Sequence[Sequence[int]], rule: EventRule | None = None
) -> tuple[Tensor, Tensor]:
    """Judge N clips against the events that their captions name.

    Args:
        probabilities: (N, T, K) of clip, frame, event.
        wanted: for each clip the indices of its events in the order of the caption; each at least once and none twice,
            since an event that sounds twice has no one place.
        rule: the default one if None.

    Returns:
        (N,) bool, all events present (integrity), and (N,) bool, all present and each before the next (temporal).

    Raises:
        PrefalignError: for probabilities or indices that do not fit; the message names the clip.
    """
    rule = rule or EventRule()
    present, places = events_present(probabilities, rule), centroids(probabilities)
    if len(wanted) != len(present):
        raise PrefalignError(f"expected the events of {len(present)} clips, got {len(wanted)}")
    whole, ordered = [], []
    for index, events in enumerate(wanted):
        if not events or len(set(events)) < len(events):
            raise PrefalignError(f"clip {index}: expected at least one event and none twice, got {list(events)}")
        if not all(0 <= event < present.shape[1] for event in events):
            raise PrefalignError(f"clip {index}: expected events from 0 to {present.shape[1] - 1}, got {list(events)}")
        there = bool(present[index, list(events)].all())
        steps = places[index, list(events)].diff()
        whole.append(there)
        ordered.append(there and bool((steps > rule.gap).all()))
    return torch.tensor(whole, dtype=torch.bool), torch.tensor(ordered, dtype=torch.bool)


def checked_probabilities(probabilities: Tensor) -> Tensor:
    """(N, T, K) probabilities of a floating type; decisions of 0 and 1 become one.

    Raises:
        PrefalignError: for another shape, or numbers outside [0, 1] or NaN.
    """
    if probabilities.ndim != 3:
        raise PrefalignError(f"expected probabilities of shape (N, frames, events), got {tuple(probabilities.shape)}")
    if not bool(((probabilities >= 0) & (probabilities <= 1)).all()):
        raise PrefalignError("expected probabilities in [0, 1]; a detector's logits need a sigmoid first")
    return probabilities if probabilities.is_floating_point() else probabilities.float()
