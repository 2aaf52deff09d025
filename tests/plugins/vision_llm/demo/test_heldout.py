import collections
import json

import numpy as np
import pytest
from PIL import Image

from prefalign_vision_llm.demo.heldout import POPE_SPLITS, Heldout, PopeQuestion, image_path, pope_questions
from prefalign_vision_llm.demo.scenes import BALANCED, BIASED, ICON_WORLD, Placement, Scene, sample_scene


def _scene(*objects):
    return Scene("kitchen", tuple(Placement(name, i, (0, 0), 12) for i, name in enumerate(objects)), (0, 0, 0), 0)


def _questions(heldout, annotations, images=250):
    return pope_questions(heldout, annotations, ICON_WORLD, images, np.random.default_rng(0))


def test_negatives_are_the_most_frequent_or_the_most_companionable_absent_object():
    """Counts of objects: pan 5, dog 4, cup 3, kite 3, plate 2; so the popular ones are the pan, then the dog.

    Beside the cup stand the kite twice, the plate once; beside the plate the pan twice. So for the cup the adversary is
    the kite, for the plate the pan.
    """
    annotations = [
        *[_scene("cup", "kite")] * 2,
        _scene("cup", "plate", "pan"),
        _scene("plate", "pan"),
        *[_scene("pan", "dog")] * 3,
        _scene("dog", "kite"),
    ]
    found = _questions([_scene("cup", "plate")], annotations)
    for split, negatives in (("popular", ["pan", "dog"]), ("adversarial", ["kite", "pan"])):
        assert found[split] == (
            PopeQuestion(0, "cup", "yes"),
            PopeQuestion(0, negatives[0], "no"),
            PopeQuestion(0, "plate", "yes"),
            PopeQuestion(0, negatives[1], "no"),
        )


def test_scenes_with_one_object_are_passed_over_and_three_objects_asked_at_most():
    heldout = [_scene("cup"), _scene("cup", "pan", "dog", "kite"), _scene("cup", "pan"), _scene("dog", "pan")]
    found = _questions(heldout, [_scene("cup", "pan")], images=2)
    for split in POPE_SPLITS:
        assert collections.Counter(q.image for q in found[split]) == {1: 6, 2: 4}
        assert [q.object for q in found[split] if q.image == 1 and q.label == "yes"] == ["cup", "pan", "dog"]


def test_questions_of_many_scenes_are_balanced_true_and_not_repeated():
    """Of scenes with 2, 3 or 4 objects 2, 3 and 3 are asked about: 250 * 8/3 * 2 = 1333 questions a split."""
    rng = np.random.default_rng(1)
    heldout = [sample_scene(ICON_WORLD, BALANCED, rng) for _ in range(400)]
    found = _questions(heldout, [sample_scene(ICON_WORLD, BIASED, rng) for _ in range(500)])
    for items in found.values():
        assert len(items) == pytest.approx(1333, abs=40)
        assert len({(q.image, q.object) for q in items}) == len(items)
        assert sum(q.label == "yes" for q in items) * 2 == len(items)
        assert all((q.object in heldout[q.image].objects) == (q.label == "yes") for q in items)
    absent = [q.object for q in found["random"] if q.label == "no"]
    assert min(collections.Counter(absent).values()) > len(absent) / 24  # no object is favoured


def test_it_is_read_back_as_it_was_written(tmp_path):
    scenes = tuple(sample_scene(ICON_WORLD, BALANCED, np.random.default_rng(0)) for _ in range(3))
    heldout = Heldout(ICON_WORLD, scenes, {"random": (PopeQuestion(0, "cup", "yes"),)})
    heldout.save(tmp_path)
    assert Heldout.load(tmp_path) == heldout
    (tmp_path / image_path("heldout", 0)).parent.mkdir(parents=True)
    for index in range(3):
        Image.new("RGB", (48, 48), (index, 0, 0)).save(tmp_path / image_path("heldout", index))
    assert [image.getpixel((0, 0)) for image in heldout.images(tmp_path)] == [(i, 0, 0) for i in range(3)]


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"world": {}, "scenes": [], "questions": {}}', '{"scenes": [{"context": "x"}]}']
)
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "heldout.json").write_text(content)
    with pytest.raises(ValueError, match=r"heldout\.json|contexts"):
        Heldout.load(tmp_path)


def test_objects_stand_beside_the_scene_for_other_readers(tmp_path):
    Heldout(ICON_WORLD, (_scene("cup", "pan"),), {}).save(tmp_path)
    assert json.loads((tmp_path / "heldout.json").read_text())["scenes"][0]["objects"] == ["cup", "pan"]
