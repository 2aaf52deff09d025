"""The over-generalisation metric: the functional counts, kept over batches and merges."""

import math

import pytest

from prefalign_vision_llm.metrics.functional.errors import MetricInputError
from prefalign_vision_llm.metrics.functional.vocabulary import ObjectVocabulary
from prefalign_vision_llm.metrics.over_generalisation import OverGeneralisation

SCENES = {"kitchen": ["sink", "oven"], "street": ["car"], "beach": ["surfboard"]}
CAPTIONS = ["a sink, an oven, ovens, a car", "a sink and a dog", "a car and a sink", "an oven and a car", "a dog"]
OBJECTS = [["sink"], ["sink", "dog"], ["car", "sink"], ["oven"], ["dog"]]
PLACES = ["kitchen", "kitchen", "street", None, "beach"]


def assert_whole(metric: OverGeneralisation) -> None:
    """Kitchen 2/4 - 2/6, street 0/1 - 2/3, beach unjudged; mean -25 points."""
    result = {name: value.item() for name, value in metric.compute().items()}
    assert math.isnan(result.pop("delta/beach"))
    assert result == pytest.approx({"delta": -25, "delta/kitchen": 100 / 6, "delta/street": -200 / 3})


def test_by_hand_in_two_batches() -> None:
    """Batches add up, and a merge of two metrics too."""
    metric, other = OverGeneralisation(SCENES), OverGeneralisation(SCENES)
    metric.update(CAPTIONS[:2], OBJECTS[:2], PLACES[:2])
    other.update(CAPTIONS[2:], OBJECTS[2:], PLACES[2:])
    other.merge_state(metric)
    metric.update(CAPTIONS[2:], OBJECTS[2:], PLACES[2:])
    assert_whole(metric)
    assert_whole(other)
    metric.reset()
    metric.update([], [], [])
    assert all(math.isnan(value) for value in metric.compute().values())


def test_other_vocabulary() -> None:
    """Shapes in a room of circles: 1 of 2 inside, 1 of 3 overall."""
    vocabulary = ObjectVocabulary.of(["circle", "star"], inflection="none")
    metric = OverGeneralisation({"round": ["circle"]}, vocabulary)
    metric.update(["circle", "circle", "circle"], [["circle"], ["star"], ["circle"]], ["round", "round", None])
    assert metric.compute()["delta"].item() == pytest.approx(50 - 100 / 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a dog"], [["dog"]], []), "1 captions, 1 sets of objects, 0 scenes"),
        ((["a dog"], [["dog"]], ["kitchn"]), "unknown scene 'kitchn'; did you mean 'kitchen'"),
        ((["a dog"], [["dgo"]], ["kitchen"]), "unknown object 'dgo'; did you mean 'dog'"),
        (("a dog", [["dog"]], ["kitchen"]), "captions is a single text"),
    ],
)
def test_refuses(arguments: tuple, message: str) -> None:
    """Wrong lengths, unknown scenes and unknown objects are named."""
    with pytest.raises(MetricInputError, match=message):
        OverGeneralisation(SCENES).update(*arguments)


@pytest.mark.parametrize(("scenes", "message"), [({}, "no scenes"), ({"kitchen": ["snk"]}, "unknown object 'snk'")])
def test_refuses_scenes(scenes: dict, message: str) -> None:
    """A metric without scenes, or of unknown objects, is not made."""
    with pytest.raises(MetricInputError, match=message):
        OverGeneralisation(scenes)
