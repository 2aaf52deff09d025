import pytest
from PIL import Image

from prefalign_vision_llm.demo import annotator
from prefalign_vision_llm.demo.annotator import annotate, correct_answer, correct_caption
from prefalign_vision_llm.demo.generation import Reply
from prefalign_vision_llm.demo.scenes import ICON_WORLD, Context, Placement, Scene, World


def _changes(correction):
    """Edit kind, text removed, text in its place."""
    return [
        (kind, correction.rejected[slice(*gone)], correction.chosen[slice(*new)])
        for kind, gone, new in zip(correction.edits, correction.rejected_spans, correction.chosen_spans, strict=True)
    ]


@pytest.mark.parametrize(
    ("said", "present", "chosen", "changes"),
    [
        pytest.param(
            "a photo of a pan and a cup and a plate .",
            ["cup", "plate"],
            "a photo of a cup and a plate .",
            [("delete", "pan and a", "cup")],
            id="deletion at the start",
        ),
        pytest.param(
            "a photo of a cup and a pan and a plate .",
            ["plate", "cup"],
            "a photo of a cup and a plate .",
            [("delete", "pan and a", "plate")],
            id="deletion in the middle",
        ),
        pytest.param(
            "a photo of a cup and a plate and a pan .",
            ["plate", "cup"],
            "a photo of a cup and a plate .",
            [("delete", "and a pan", ".")],
            id="deletion at the end",
        ),
        pytest.param(
            "in the picture we see a dog and a tree and a cup .",
            ["cup"],
            "in the picture we see a cup .",
            [("delete", "dog and a tree and a", "cup")],
            id="both mentions before the only right one",
        ),
        pytest.param(
            "the image shows a cup and a pan .",
            ["cup", "kite"],
            "the image shows a cup and a kite .",
            [("replace", "pan", "kite")],
            id="replacement by what was missed",
        ),
        pytest.param(
            "the image shows a pan .",
            ["kite"],
            "the image shows a kite .",
            [("replace", "pan", "kite")],
            id="nothing right",
        ),
        pytest.param(
            "a photo of a pan and a cup and a dog and a kite and a lamp .",
            ["kite", "book"],
            "a photo of a book and a kite .",
            [("replace", "pan", "book"), ("delete", "cup and a dog and a", "kite"), ("delete", "and a lamp", ".")],
            id="one missed, the others deleted",
        ),
        pytest.param(
            "a photo of a cup and a pan and a cup and a pan .",
            ["cup"],
            "a photo of a cup and a cup .",
            [("delete", "pan and a", "cup"), ("delete", "and a pan", ".")],
            id="repeats of the wrong object go, of the right one stay",
        ),
    ],
)
def test_captions_are_mended_where_they_are_wrong_and_only_there(said, present, chosen, changes):
    correction = correct_caption(said, present, ICON_WORLD)
    assert correction.rejected == said
    assert correction.chosen == chosen
    assert _changes(correction) == changes
    assert (correction.kind, correction.prompt) == ("caption", "describe the image .")


def test_a_mention_that_must_be_deleted_after_a_replacement_goes_with_the_and_before_it():
    """Nothing right is named: "pan" is replaced, so "dog" is no longer first and takes the "and" before it along."""
    correction = correct_caption("a photo of a pan and a dog .", ["cup"], ICON_WORLD)
    assert correction.chosen == "a photo of a cup ."
    assert _changes(correction) == [("replace", "pan", "cup"), ("delete", "and a dog", ".")]


def test_articles_follow_the_new_object():
    world = World((Context("orchard", (0, 0, 0), ("apple", "pear", "plum")),), max_objects=3)
    correction = correct_caption("a photo of a pear and a plum .", ["plum", "apple"], world)
    assert correction.chosen == "a photo of an apple and a plum ."
    assert _changes(correction) == [("replace", "a pear", "an apple")]


def test_right_captions_need_no_correction_even_if_they_miss_or_repeat():
    assert correct_caption("a photo of a cup and a cup .", ["cup", "pan"], ICON_WORLD) is None


def test_texts_that_are_no_captions_are_refused():
    with pytest.raises(ValueError, match="not a caption"):
        correct_caption("a photo of a cup and a .", ["cup"], ICON_WORLD)


def test_wrong_answers_are_turned():
    correction = correct_answer("yes", "pan", ["cup"])
    assert (correction.prompt, correction.rejected, correction.chosen) == ("is there a pan ?", "yes", "no")
    assert (correction.rejected_spans, correction.chosen_spans) == (((0, 3),), ((0, 2),))
    assert correct_answer("no", "cup", ["cup"]).chosen == "yes"
    assert correct_answer("yes", "cup", ["cup"]) is None
    with pytest.raises(ValueError, match="not an answer"):
        correct_answer("maybe", "cup", ["cup"])


def _annotate(monkeypatch, captions, answer, caption_pairs=900, questions=8):
    scene = Scene("kitchen", (Placement("cup", 0, (0, 0), 12),), (0, 0, 0), 0)
    asked = []

    def scripted(model, processor, images, prompts, max_new_tokens, seed):
        if prompts[0] == "describe the image .":
            return captions
        asked.extend(prompts)
        return [answer(prompt) for prompt in prompts]

    monkeypatch.setattr(annotator, "replies", scripted)
    blank = [Image.new("RGB", (48, 48))] * len(captions)
    found = annotate(None, None, ICON_WORLD, [scene] * len(captions), blank, caption_pairs, questions, seed=0)
    return found, asked


def test_every_reply_is_a_pair_or_verified_or_counted_as_skipped(monkeypatch):
    captions = [
        Reply("a photo of a cup .", True),
        Reply("a photo of a cup and a pan .", True),
        Reply("a photo of a cup and a pan .", False),
        Reply("a cup a photo of .", True),
        Reply("a photo of a dog and a cup .", True),
        Reply("a photo of a pan .", True),
    ]
    found, asked = _annotate(monkeypatch, captions, lambda _: Reply("yes", True), caption_pairs=2)
    assert [(c.image, c.chosen) for c in found.corrections if c.kind == "caption"] == [
        (1, "a photo of a cup ."),
        (4, "a photo of a cup ."),
    ]
    assert [(v.image, v.response) for v in found.verified if v.kind == "caption"] == [(0, "a photo of a cup .")]
    # Alternately about the present cup and an absent companion: the "yes" is right for the former only.
    assert [prompt == "is there a cup ?" for prompt in asked] == [True, False] * 4
    assert sum(v.kind == "question" for v in found.verified) == 4
    assert {(c.chosen, c.rejected) for c in found.corrections if c.kind == "question"} == {("no", "yes")}
    assert found.counts == {
        "captions": 6,
        "questions": 8,
        "captions_skipped": 2,
        "caption_pairs": 2,
        "segments_deleted": 2,
        "question_pairs": 4,
        "yes_corrected": 4,
        "verified": 5,
    }


def test_answers_other_than_yes_and_no_are_skipped(monkeypatch):
    found, _ = _annotate(monkeypatch, [Reply("", True)], lambda _: Reply("a cup", True), questions=3)
    assert (found.corrections, found.verified) == ((), ())
    assert found.counts["answers_skipped"] == 3
