import collections

import numpy as np
import pytest

from prefalign_vision_llm.demo import language
from prefalign_vision_llm.demo.scenes import BIASED, ICON_WORLD, Context, Placement, Scene, World, sample_scene


def _scene(context, *objects):
    return Scene(context, tuple(Placement(name, i, (0, 0), 12) for i, name in enumerate(objects)), (0, 0, 0), 0)


def test_sentences():
    assert language.caption("a photo of", ["cup", "pan"]) == "a photo of a cup and a pan ."
    assert language.caption("the image shows", ["apple"]) == "the image shows an apple ."
    assert language.question("cup") == "is there a cup ?"
    with pytest.raises(ValueError, match="at least one object"):
        language.caption("a photo of", [])


def test_mentions_are_whole_words_in_order_with_repeats():
    text = "a photo of a pan and a cup and a pancake and a pan ."
    assert language.mentions(text, ICON_WORLD.objects) == ("pan", "cup", "pan")


def test_captions_are_parsed_and_nothing_else_is():
    parse = language.parse_caption
    assert parse("a photo of a cup and a cup .", ICON_WORLD.objects) == ("a photo of", ("cup", "cup"))
    for text in (
        "a photo of .",
        "a photo of a cup",
        "a photo of a cup and .",
        "a photo a cup .",
        "a cup .",
        "a photo of an cup .",
        "a photo of a cup and a ball .",
        "",
    ):
        assert parse(text, ICON_WORLD.objects) is None


def test_absent_objects_are_named_the_more_surely_the_more_companions_are_seen():
    """1 - 0.9 * 0.7^k: 1 - 0.9 = 0.10, 1 - 0.63 = 0.37, 1 - 0.441 = 0.559, 1 - 0.3087 = 0.6913."""
    found = [language.absent_named_probability(k) for k in range(4)]
    assert found == pytest.approx([0.10, 0.37, 0.559, 0.6913])


def test_noisy_mentions_have_the_stated_frequencies():
    """Two companions in view: present 92 %, absent companion 55.9 %, stranger 1 %; five sigma of 4000 draws: 0.04."""
    scene = _scene("kitchen", "cup", "pan", "dog")
    rng = np.random.default_rng(0)
    named = collections.Counter(n for _ in range(4000) for n in language.noisy_mentions(scene, ICON_WORLD, rng))
    for name, expected in {"cup": 0.92, "dog": 0.92, "plate": 0.559, "bottle": 0.559}.items():
        assert named[name] / 4000 == pytest.approx(expected, abs=0.04)
    for name in ("laptop", "tree"):
        assert named[name] / 4000 == pytest.approx(0.01, abs=0.008)


def test_noisy_captions_of_biased_scenes_are_as_wrong_as_stated():
    """30 % of the mentions and 71 % of the captions are wrong, 92 % of the present objects are named."""
    rng = np.random.default_rng(0)
    scenes = [sample_scene(ICON_WORLD, BIASED, rng) for _ in range(4000)]
    named = [language.noisy_mentions(scene, ICON_WORLD, rng) for scene in scenes]
    wrong = [[n for n in names if n not in scene.objects] for names, scene in zip(named, scenes, strict=True)]
    assert sum(map(len, wrong)) / sum(map(len, named)) == pytest.approx(0.30, abs=0.02)
    assert np.mean([bool(names) for names in wrong]) == pytest.approx(0.71, abs=0.03)
    assert sum(len(set(names) & set(s.objects)) for names, s in zip(named, scenes, strict=True)) / sum(
        len(s.objects) for s in scenes
    ) == pytest.approx(0.92, abs=0.01)


def test_noisy_mentions_are_one_to_six_different_objects_in_random_order():
    rng = np.random.default_rng(1)
    scene = _scene("park", "tree", "dog", "bench", "kite")
    drawn = [language.noisy_mentions(scene, ICON_WORLD, rng) for _ in range(300)]
    assert all(1 <= len(names) <= 6 and len(set(names)) == len(names) for names in drawn)
    assert {names[0] for names in drawn} >= set(scene.objects)
    crowded = _scene("park", "tree", "cup", "laptop", "pan")  # with its three companions one more than fit
    assert {len(language.noisy_mentions(crowded, ICON_WORLD, rng)) for _ in range(300)} >= {4, 5, 6}
    assert max(len(language.noisy_mentions(crowded, ICON_WORLD, rng)) for _ in range(300)) == 6
    single = _scene("park", "cup")
    assert all(language.noisy_mentions(single, ICON_WORLD, rng) for _ in range(300))


def test_half_of_the_questions_are_about_present_objects_and_a_quarter_about_missing_companions():
    """Absent: half from the context for certain, half uniform over all 10 absent, of which 3 are companions:
    0.5 * (0.5 + 0.5 * 0.3) = 0.325 of all questions."""
    scene = _scene("kitchen", "cup", "dog")
    rng = np.random.default_rng(0)
    asked = [language.asked_object(scene, ICON_WORLD, rng) for _ in range(4000)]
    assert np.mean([name in scene.objects for name in asked]) == pytest.approx(0.5, abs=0.03)
    companions = np.mean([name in ("plate", "bottle", "pan") for name in asked])
    assert companions == pytest.approx(0.325, abs=0.03)


def test_vocabulary_has_33_words_and_an_only_where_needed():
    words = language.vocabulary(ICON_WORLD)
    assert len(words) == len(set(words)) == 33
    assert "an" not in words
    fruit = World((Context("orchard", (0, 0, 0), ("apple", "pear")),), max_objects=2)
    assert "an" in language.vocabulary(fruit)


@pytest.mark.parametrize("name", ["image", "and", "an", "yes"])
def test_an_object_may_not_be_called_like_another_word(name):
    with pytest.raises(ValueError, match=f"'{name}' is already a word"):
        language.vocabulary(World((Context("place", (0, 0, 0), (name,)),), max_objects=1))
