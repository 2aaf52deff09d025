"""Over-generalisation by hand."""

import math

import pytest

from prefalign_vision_llm.metrics.functional.errors import MetricInputError
from prefalign_vision_llm.metrics.functional.over_generalisation import SceneCounts, frequent_objects

SCENES = {"kitchen": {"sink", "oven"}, "street": {"car"}, "beach": {"surfboard"}}


def counted(rows: list) -> SceneCounts:
    counts = SceneCounts(SCENES)
    for mentioned, present, scene in rows:
        counts.add(mentioned, present, scene)
    return counts


ROWS = [
    (["sink", "oven", "oven", "car"], {"sink"}, "kitchen"),  # kitchen 2 wrong of 3, street 1 of 1 outside
    (["sink", "dog"], {"sink", "dog"}, "kitchen"),  # kitchen 0 of 1
    (["car", "sink"], {"car", "sink"}, "street"),  # street 0 of 1, kitchen 0 of 1 outside
    (["oven", "car"], {"oven"}, None),  # kitchen 0 of 1 outside, street 1 of 1 outside
    (["dog"], {"dog"}, "beach"),
]


def test_by_hand() -> None:
    """Kitchen: 2/4 inside, 2/6 overall, so 16.67. Street: 0/1 inside, 2/3 overall, so -66.67. Beach: never judged.

    The mean is over the two scenes that have a delta: -25.
    """
    deltas = counted(ROWS).deltas()
    assert deltas["kitchen"] == pytest.approx(100 / 6)
    assert deltas["street"] == pytest.approx(-200 / 3)
    assert math.isnan(deltas["beach"])
    assert counted(ROWS).delta() == pytest.approx(-25)


def test_no_mention_is_no_delta() -> None:
    """Nothing to judge by gives nan, not an innocent 0."""
    assert math.isnan(counted([(["dog"], {"dog"}, "kitchen")]).delta())


def test_halves_add_up() -> None:
    """Counts of disjoint sets sum to the counts of their union; other scenes are refused."""
    assert counted(ROWS[:2]) + counted(ROWS[2:]) == counted(ROWS)
    with pytest.raises(MetricInputError, match="different scenes"):
        counted(ROWS) + SceneCounts({"kitchen": {"sink"}})


def test_frequent_objects() -> None:
    """Sink is in 3 kitchens, oven in 2, cup and bowl in 1 each: ties go by name; repeats in an image count once."""
    objects = [["sink", "oven", "cup", "cup", "cup"], ["sink", "oven"], ["sink", "bowl"], ["car"], ["dog"]]
    scenes = ["kitchen", "kitchen", "kitchen", "street", None]
    assert frequent_objects(objects, scenes, top=3) == {"kitchen": ("sink", "oven", "bowl"), "street": ("car",)}


@pytest.mark.parametrize(("scenes", "top"), [([], 10), (["kitchen"], 0)])
def test_frequent_objects_refuses(scenes: list, top: int) -> None:
    """One scene an image, and at least one object a scene."""
    with pytest.raises(MetricInputError, match="expected one scene a set"):
        frequent_objects([["sink"]], scenes, top)
