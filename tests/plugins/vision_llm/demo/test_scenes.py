import collections
import json

import numpy as np
import pytest

from prefalign_vision_llm.demo.icons import ICONS
from prefalign_vision_llm.demo.scenes import BALANCED, BIASED, ICON_WORLD, Context, World, sample_scene


def _scenes(affinity, count, seed=0):
    rng = np.random.default_rng(seed)
    return [sample_scene(ICON_WORLD, affinity, rng) for _ in range(count)]


def test_default_world_has_an_icon_for_each_object():
    assert len(ICON_WORLD.objects) == 12
    assert set(ICON_WORLD.objects) == set(ICONS)
    assert ICON_WORLD.image_size == 48


def test_biased_scenes_take_three_quarters_of_the_objects_from_their_context():
    """The first object of a scene is of the context with 0.75 + 0.25 * 4/12 = 5/6; one sigma of 6000 draws is 0.005."""
    scenes = _scenes(BIASED, 6000)
    first = np.mean([s.objects[0] in ICON_WORLD.context(s.context).objects for s in scenes])
    assert first == pytest.approx(5 / 6, abs=0.02)


def test_balanced_scenes_ignore_their_context():
    """Each of 12 objects stands in a scene with (1+2+3+4)/4 / 12 = 0.2083, companions as often as strangers."""
    scenes = _scenes(BALANCED, 6000)
    companions = np.mean([np.isin(ICON_WORLD.context(s.context).objects, s.objects).mean() for s in scenes])
    assert companions == pytest.approx(2.5 / 12, abs=0.01)
    assert collections.Counter(name for s in scenes for name in s.objects).keys() == set(ICON_WORLD.objects)


def test_numbers_contexts_cells_offsets_and_sizes_are_uniform_and_in_range():
    scenes = _scenes(BIASED, 4000)
    for values, expected in (
        ([len(s.objects) for s in scenes], range(1, 5)),
        ([s.context for s in scenes], ("kitchen", "office", "park")),
        ([p.cell for s in scenes for p in s.placements], range(9)),
        ([p.size for s in scenes for p in s.placements], (12, 13, 14)),
        ([offset for s in scenes for p in s.placements for offset in p.offset], (0, 1, 2)),
        ([shift for s in scenes for shift in s.tint_shift], range(-6, 7)),
    ):
        counts = collections.Counter(values)
        assert counts.keys() == set(expected)
        mean = len(values) / len(counts)
        assert all(abs(count - mean) < 5 * np.sqrt(mean) for count in counts.values())


def test_a_scene_repeats_neither_an_object_nor_a_cell():
    for scene in _scenes(BIASED, 500):
        assert len(set(scene.objects)) == len(scene.objects)
        assert len({p.cell for p in scene.placements}) == len(scene.placements)


def test_more_objects_than_a_context_has_are_filled_from_elsewhere():
    world = World((Context("sea", (0, 0, 99), ("fish",)), Context("sky", (0, 0, 99), ("bird", "sun"))), max_objects=3)
    rng = np.random.default_rng(0)
    assert {len(sample_scene(world, 1.0, rng).objects) for _ in range(50)} == {1, 2, 3}


def test_the_same_seed_gives_the_same_scenes():
    assert _scenes(BIASED, 20, seed=3) == _scenes(BIASED, 20, seed=3)
    assert _scenes(BIASED, 20, seed=3) != _scenes(BIASED, 20, seed=4)


def test_a_world_survives_json():
    assert World.from_mapping(json.loads(json.dumps(ICON_WORLD.as_mapping()))) == ICON_WORLD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": 15}, "do not fit into cells of 15"),
        ({"max_offset": -1}, "do not fit"),
        ({"object_size": [14, 12]}, "do not fit"),
        ({"max_objects": 10}, "9 cells"),
        ({"max_objects": 0}, "max_objects is 0"),
        ({"cells": 4}, "unknown field 'cells'; did you mean 'cell'"),
        ({"contexts": [{"name": "sea", "tint": [0, 0, 0]}]}, "'contexts' must be a list"),
        ({"contexts": [{"name": "sea", "tint": [0, 0, 0], "objects": ["../up"]}]}, "'../up' must be one word"),
        ({"contexts": [{"name": "sea", "tint": [0, 0, 0], "objects": ["Fish"]}]}, "'Fish' must be one word"),
        ({"contexts": [{"name": "sea", "tint": [0, 0, 0], "objects": ["sea"]}]}, "'sea' is used twice"),
    ],
)
def test_an_impossible_world_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        World.from_mapping({**ICON_WORLD.as_mapping(), **change})


def test_an_unknown_context_suggests_a_near_one():
    with pytest.raises(ValueError, match="did you mean 'office'"):
        ICON_WORLD.context("ofice")
