"""The CHAIR metric: the functional counts, kept over batches, copies and merges."""

import copy
import pickle

import pytest
import torch

from prefalign_vision_llm.metrics.chair import CHAIR
from prefalign_vision_llm.metrics.functional.chair import chair
from prefalign_vision_llm.metrics.functional.errors import MetricInputError
from prefalign_vision_llm.metrics.functional.vocabulary import ObjectVocabulary, coco_vocabulary

CAPTIONS = ["A dog, a dog and a frisbee.", "A quiet room", "cats and cats", "a motor bike near a toilet seat"]
OBJECTS = [["dog"], ["cat", "bed"], ["dog"], ["motorcycle", "chair"]]


def test_by_hand() -> None:
    """Mentions dog dog frisbee | - | cat cat | motorcycle toilet: 4 of 7 wrong, in 3 of 4 captions; recalls 2 of 6."""
    metric = CHAIR()
    metric.update(CAPTIONS, OBJECTS)
    result = metric.compute()
    rates = {name: result.pop(name) for name in ("chair_i", "chair_s", "recall")}
    assert {name: rate.item() for name, rate in rates.items()} == pytest.approx(
        {"chair_i": 400 / 7, "chair_s": 75, "recall": 100 / 3}
    )
    assert all(rate.dtype == torch.float32 and rate.shape == () for rate in rates.values())
    assert {name: count.item() for name, count in result.items()} == {
        "captions": 4, "captions_hallucinated": 3, "mentions": 7, "hallucinated": 4, "present": 6, "recalled": 2,
    }  # fmt: skip


def test_batches_merge_and_reset() -> None:
    """Two batches, or two metrics merged, count the whole; reset forgets; forward gives the batch alone."""
    expected = chair(CAPTIONS, OBJECTS)
    metric, other = CHAIR(), CHAIR()
    assert metric(CAPTIONS[:1], OBJECTS[:1])["chair_i"].item() == pytest.approx(100 / 3)
    assert metric(CAPTIONS[1:], OBJECTS[1:])["chair_i"].item() == pytest.approx(75)
    assert metric.counts() == expected
    metric.reset()
    assert metric.counts() == chair([], [])
    metric.update(CAPTIONS[:2], OBJECTS[:2])
    other.update(CAPTIONS[2:], OBJECTS[2:])
    metric.merge_state(other)
    assert metric.counts() == expected
    assert metric.compute()["chair_i"].item() == pytest.approx(expected.chair_i)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda metric: pickle.loads(pickle.dumps(metric)), CHAIR.clone])
def test_copies_go_on_counting(clone: object) -> None:
    """A copy keeps vocabulary and counts, and counts on alone."""
    metric = CHAIR(["circle", "star"])
    metric.update(["a circle"], [["star"]])
    twin = clone(metric)  # type: ignore[operator]
    twin.update(["a star"], [["star"]])
    assert twin.compute()["chair_i"].item() == 50
    assert metric.compute()["chair_i"].item() == 100


def test_vocabularies() -> None:
    """COCO by default, COCO as released, names, or a vocabulary; strict goes with COCO alone."""
    exact = ObjectVocabulary.of(["circle"], inflection="none")
    assert CHAIR(exact).vocabulary is exact
    assert CHAIR(["circle"]).vocabulary.names == ("circle",)
    assert CHAIR().vocabulary.entries == coco_vocabulary().entries
    assert CHAIR(strict=True).vocabulary.entries == coco_vocabulary(strict=True).entries
    with pytest.raises(ValueError, match="strict belongs to the COCO table"):
        CHAIR(["circle"], strict=True)


def test_refused_batch_leaves_the_counts_alone() -> None:
    """An unknown object counts nothing of its batch."""
    metric = CHAIR()
    metric.update(CAPTIONS, OBJECTS)
    before = metric.counts()
    with pytest.raises(MetricInputError, match=r"objects\[1\]: unknown object 'catt'"):
        metric.update(["a dog", "a cat"], [["dog"], ["catt"]])
    assert metric.counts() == before


def test_declares_itself() -> None:
    """Lower is better, no gradient, and every state is summed over processes."""
    metric = CHAIR()
    assert (metric.higher_is_better, metric.is_differentiable, metric.full_state_update) == (False, False, False)
    stacked = torch.tensor([[1, 2], [3, 4]])  # (processes, state)
    assert all(reduce(stacked).tolist() == [4, 6] for reduce in metric._reductions.values())
