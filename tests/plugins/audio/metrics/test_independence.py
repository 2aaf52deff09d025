"""Judge ≠ trainer."""

from collections.abc import Callable
from typing import Any

import pytest

from prefalign.interfaces import PrefalignError
from prefalign_audio.metrics.event_accuracy import EventAccuracy
from prefalign_audio.metrics.frechet import FrechetDistance
from prefalign_audio.metrics.independence import ensure_independent, ensure_independent_model
from prefalign_audio.metrics.tagging import InceptionScore, TaggerKL


def test_a_stranger_may_judge() -> None:
    """Also where nothing trained."""
    assert ensure_independent("a", ["b", "c"])
    assert ensure_independent("a", [])


def test_a_trainer_may_not() -> None:
    """By default it is an error that says how to go on; allowed, it is a warning and a No."""
    with pytest.raises(PrefalignError, match=r"\(fingerprint abcdefabcdef\) is one of the 2 models .* allow_trainer"):
        ensure_independent("abcdefabcdef0123", ["x", "abcdefabcdef0123"])
    with pytest.warns(UserWarning, match="says nothing about quality"):
        assert not ensure_independent("a", ["a"], allow=True)


def test_models(floats: Callable[..., Any]) -> None:
    """A model is asked for its fingerprint; one that has none cannot be cleared."""
    assert ensure_independent_model(floats(2, "mine"), ["yours"])
    assert ensure_independent_model(object(), [])
    with pytest.raises(PrefalignError, match="is one of the 1 models"):
        ensure_independent_model(floats(2, "mine"), ["mine"])
    with pytest.raises(PrefalignError, match="object has no fingerprint"):
        ensure_independent_model(object(), ["yours"])


@pytest.mark.parametrize("metric", [FrechetDistance, TaggerKL, InceptionScore])
def test_metrics_ask(metric: Any, floats: Callable[..., Any]) -> None:
    """Every metric over an encoder refuses the trainer before it has heard a sound."""
    assert metric(floats(2, "judge"), trainers=["trainer"]).width == 2
    with pytest.raises(PrefalignError, match="is one of the 1 models"):
        metric(floats(2, "trainer"), trainers=["trainer"])
    with pytest.warns(UserWarning, match="is one of the 1 models"):
        metric(floats(2, "trainer"), trainers=["trainer"], allow_trainer=True)
    with pytest.raises(PrefalignError, match="int has no fingerprint"):
        metric(2, trainers=["trainer"])


def test_detectors_are_asked(floats: Callable[..., Any]) -> None:
    """A detector is any callable; trainers are compared if it has a fingerprint."""
    with pytest.raises(PrefalignError, match="is one of the 1 models"):
        EventAccuracy(["dog"], floats(1, "a"), trainers=["a"])
    with pytest.raises(PrefalignError, match="function has no fingerprint"):
        EventAccuracy(["dog"], lambda sounds: sounds, trainers=["a"])
