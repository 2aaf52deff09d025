"""Integrity and temporal accuracy over batches."""

import pytest
import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign_audio.metrics.event_accuracy import EventAccuracy
from prefalign_audio.metrics.functional.events import EventRule

FIRST, LATE, NEVER = [1.0, 1, 0, 0, 0, 0], [0.0, 0, 0, 0, 1, 1], [0.0] * 6


def clips(*pairs: tuple[list[float], list[float]]) -> Tensor:
    return torch.stack([torch.tensor(pair).T for pair in pairs])


def test_shares() -> None:
    """Of four clips three hold both events, and two in the order of their captions."""
    metric = EventAccuracy(["dog", "bell"])
    metric.update(clips((FIRST, LATE), (LATE, FIRST)), [["dog", "bell"]] * 2)
    metric.update(clips((LATE, FIRST), (FIRST, NEVER)), [["bell", "dog"], ["dog", "bell"]])
    found = {name: value.item() for name, value in metric.compute().items()}
    assert found == {"integrity": 0.75, "temporal": 0.5, "clips": 4}


def test_through_a_detector() -> None:
    """The detector hears the sounds; the rule is configurable."""

    def detector(sounds: list[str]) -> Tensor:
        return clips(*[(FIRST, [0.4] * 6) for _ in sounds])

    strict, lax = (EventAccuracy(["dog", "bell"], detector, rule=EventRule(threshold=t)) for t in (0.5, 0.3))
    for metric in (strict, lax):
        metric.update(["a", "b"], [["bell"]] * 2)
    assert strict.compute()["integrity"] == 0
    assert lax.compute()["integrity"] == 1


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([["dgo"]], "unknown event 'dgo'; did you mean 'dog'"),
        ([[]], "clip 0: expected at least one event"),
        ([["dog", "dog"]], "none twice"),
        ([["dog"], ["dog"]], "expected the events of 1 clips, got 2"),
    ],
)
def test_captions_refused(wanted: list[list[str]], message: str) -> None:
    """A caption without events must not count as a success."""
    metric = EventAccuracy(["dog", "bell"])
    with pytest.raises(PrefalignError, match=message):
        metric.update(clips((FIRST, LATE)), wanted)


def test_refuses() -> None:
    """Names twice, no names, another number of events, and sounds without a detector."""
    for names in (["dog", "dog"], []):
        with pytest.raises(PrefalignError, match="expected names of events, none twice"):
            EventAccuracy(names)
    metric = EventAccuracy(["dog"])
    with pytest.raises(PrefalignError, match="expected 1 events in the last axis, got 2"):
        metric.update(clips((FIRST, LATE)), [["dog"]])
    with pytest.raises(PrefalignError, match=r"without a detector, expected probabilities \(N, frames, 1\)"):
        metric.update(["a"], [["dog"]])
