"""Present, in order: the rules on hand-made frames."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign_audio.metrics.functional.events import EventRule, centroids, events_present, judge_events


def clip(*events: list[float]) -> Tensor:
    """(1, T, K) from K lists of T."""
    return torch.tensor(events).T[None]


def test_present_needs_two_neighbouring_frames() -> None:
    """0.9 alone has a mean of 0.45 with its neighbour; 0.6 and 0.5 have 0.55; 0.5 and 0.5 are not above 0.5."""
    probabilities = clip([0, 0.9, 0, 0.9], [0, 0.6, 0.5, 0], [0.5, 0.5, 0.5, 0.5])
    assert events_present(probabilities, EventRule()).tolist() == [[False, True, False]]
    assert events_present(probabilities, EventRule(run=1)).tolist() == [[True, True, False]]
    assert events_present(probabilities, EventRule(threshold=0.4)).tolist() == [[True, True, True]]


def test_centroids() -> None:
    """(0·1 + 1·1) / 2 = 0.5; frame 3 alone; nothing at all has no place."""
    found = centroids(clip([1, 1, 0, 0], [0, 0, 0, 0.2], [0, 0, 0, 0]))[0].tolist()
    assert found[:2] == pytest.approx([0.5, 3])
    assert math.isnan(found[2])


FIRST, SECOND, LATE, NEVER = [1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1], [0.0] * 6


@pytest.mark.parametrize(
    ("wanted", "whole", "ordered"),
    [
        ([0, 2], True, True),  # centroids 0.5 and 4.5: 4 > 2
        ([2, 0], True, False),
        ([0, 1], True, False),  # 0.5 and 2.5: 2 is not more than the gap
        ([0, 3], False, False),
        ([3], False, False),
        ([1], True, True),
        ([0, 1, 2], True, False),
    ],
)
def test_judgement(wanted: list[int], whole: bool, ordered: bool) -> None:
    """Integrity asks for presence, order for a gap of more than two frames from each to the next."""
    found = judge_events(clip(FIRST, SECOND, LATE, NEVER), [wanted])
    assert [verdict.tolist() for verdict in found] == [[whole], [ordered]]


def test_gap_is_a_setting() -> None:
    """With a gap of 1 frame all three are in order."""
    assert judge_events(clip(FIRST, SECOND, LATE), [[0, 1, 2]], EventRule(gap=1))[1].item()


def test_many_clips() -> None:
    """Each clip is judged by its own caption."""
    probabilities = torch.cat([clip(FIRST, LATE), clip(LATE, FIRST), clip(FIRST, NEVER)])
    whole, ordered = judge_events(probabilities, [[0, 1]] * 3)
    assert whole.tolist() == [True, True, False]
    assert ordered.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([[0], [0]], "expected the events of 1 clips, got 2"),
        ([[]], "clip 0: expected at least one event and none twice, got "),
        ([[1, 1]], r"none twice, got \[1, 1\]"),
        ([[2]], r"clip 0: expected events from 0 to 1, got \[2\]"),
        ([[-1]], "expected events from 0 to 1"),
    ],
)
def test_captions_refused(wanted: list[list[int]], message: str) -> None:
    """A caption without events is an error, not a success."""
    with pytest.raises(PrefalignError, match=message):
        judge_events(clip(FIRST, LATE), wanted)


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (torch.zeros(3, 2), r"\(N, frames, events\), got \(3, 2\)"),
        (torch.full((1, 3, 2), 1.5), "a detector's logits need a sigmoid"),
        (torch.full((1, 3, 2), math.nan), "in \\[0, 1\\]"),
        (torch.zeros(1, 1, 2), "expected at least 2 frames, got 1"),
    ],
)
def test_probabilities_refused(probabilities: Tensor, message: str) -> None:
    """Logits are the usual mistake."""
    with pytest.raises(PrefalignError, match=message):
        judge_events(probabilities, [[0]])


@pytest.mark.parametrize("rule", [{"threshold": 1.0}, {"run": 0}, {"gap": -1.0}, {"gap": math.nan}])
def test_rules_refused(rule: dict[str, Any]) -> None:
    """Every number has its range."""
    with pytest.raises(PrefalignError, match=f"^{next(iter(rule))}: expected"):
        EventRule(**rule)
