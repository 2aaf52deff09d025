"""The POPE metric: the functional counts, kept over batches and merges."""

import pytest
import torch

from prefalign_vision_llm.metrics.functional.errors import MetricInputError
from prefalign_vision_llm.metrics.pope import POPE

ANSWERS = ["Yes", "yes", "Yes.", "No", "Yes", "I cannot tell", "no", "There is not"]
LABELS = ["yes", "yes", "yes", "yes", "no", "no", "no", "no"]
RATES = {"accuracy": 62.5, "precision": 60, "recall": 75, "f1": 200 / 3, "yes_ratio": 62.5, "unparsed": 12.5}
COUNTS = {
    "true_positives": 3, "false_positives": 2, "true_negatives": 2, "false_negatives": 1, "unparsed_answers": 1,
}  # fmt: skip


def test_by_hand_in_two_batches() -> None:
    """Labels yes x4, no x4; 3 right yes, 1 missed, 2 wrong yes, 2 right no: the rates of the functional test."""
    metric = POPE()
    metric.update(ANSWERS[:3], LABELS[:3])
    metric.update(ANSWERS[3:], LABELS[3:])
    result = {name: value.item() for name, value in metric.compute().items()}
    assert result == pytest.approx(RATES | COUNTS)
    assert metric.compute()["accuracy"].dtype == torch.float32


def test_merge_and_reset() -> None:
    """Two metrics merged give the whole, and a reset one gives zeros."""
    metric, other = POPE(), POPE()
    metric.update(ANSWERS[5:], LABELS[5:])
    other.update(ANSWERS[:5], LABELS[:5])
    metric.merge_state(other)
    result = metric.compute()
    assert {name: value.item() for name, value in result.items()} == pytest.approx(RATES | COUNTS)
    metric.reset()
    assert result["true_positives"].item() == 3  # what was given out does not change behind the caller
    metric.update([], [])
    assert set(map(float, metric.compute().values())) == {0.0}


def test_declares_itself_and_refuses() -> None:
    """Higher is better; a label that is neither yes nor no is named."""
    metric = POPE()
    assert (metric.higher_is_better, metric.is_differentiable, metric.full_state_update) == (True, False, False)
    with pytest.raises(MetricInputError, match=r"labels\[0\]: expected 'yes' or 'no', found 'maybe'"):
        metric.update(["yes"], ["maybe"])
