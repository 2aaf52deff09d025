import pytest
from PIL import Image

from prefalign_vision_llm.demo import evaluation
from prefalign_vision_llm.demo.evaluation import evaluate
from prefalign_vision_llm.demo.generation import Reply
from prefalign_vision_llm.demo.heldout import Heldout, PopeQuestion
from prefalign_vision_llm.demo.scenes import ICON_WORLD, Placement, Scene


def _scene(context, *objects):
    return Scene(context, tuple(Placement(name, i, (0, 0), 12) for i, name in enumerate(objects)), (0, 0, 0), 0)


HELDOUT = Heldout(
    ICON_WORLD,
    (_scene("kitchen", "cup", "pan"), _scene("office", "cup"), _scene("park", "dog", "kite")),
    {
        "random": (PopeQuestion(0, "cup", "yes"), PopeQuestion(0, "dog", "no")),
        "adversarial": (
            PopeQuestion(0, "cup", "yes"),
            PopeQuestion(0, "plate", "no"),
            PopeQuestion(2, "kite", "yes"),
            PopeQuestion(2, "tree", "no"),
        ),
    },
)
CAPTIONS = [
    Reply("a photo of a cup and a plate and a cup .", True),
    Reply("a photo of a cup .", True),
    Reply("a photo of a dog and a tree and a", False),
]
ANSWERS = {(0, "cup"): "yes", (0, "dog"): "no", (0, "plate"): "yes", (2, "kite"): "a", (2, "tree"): "yes"}


@pytest.fixture
def result(monkeypatch):
    asked = []

    def scripted(model, processor, images, prompts, max_new_tokens):
        if prompts[0] == "describe the image .":
            return CAPTIONS
        asked.extend((image.info["index"], prompt.split()[3]) for image, prompt in zip(images, prompts, strict=True))
        return [Reply(ANSWERS[question], True) for question in asked]

    monkeypatch.setattr(evaluation, "replies", scripted)
    images = [Image.new("RGB", (48, 48)) for _ in HELDOUT.scenes]
    for index, image in enumerate(images):
        image.info["index"] = index
    found = evaluate(None, None, HELDOUT, images)
    assert len(asked) == len(set(asked)) == 5  # the cup of picture 0 stands in two splits and is asked about once
    return found


def test_captions(result):
    """Mentions: cup, plate*, cup / cup / dog, tree*, with * not in the picture: 2 of 6 mentions, 2 of 3 captions.
    Named of present: cup of cup, pan; cup of cup; dog of dog, kite: 3 of 5. Words: 12, 6 and 10."""
    assert result.figures["chair_i"] == pytest.approx(100 * 2 / 6)
    assert result.figures["chair_s"] == pytest.approx(100 * 2 / 3)
    assert result.figures["recall"] == pytest.approx(60.0)
    assert result.figures["words"] == pytest.approx(28 / 3)
    assert result.figures["unfinished"] == 1
    assert result.figures["repeated_mentions"] == 1
    assert {name: count for name, count in result.hallucinated.items() if count} == {"plate": 1, "tree": 1}
    assert result.mentioned["cup"] == 3
    assert result.captions == [reply.text for reply in CAPTIONS]


def test_over_generalisation(result):
    """Kitchen objects: 1 of 3 wrong inside, 1 of 4 overall; park: 1 of 2 and 1 of 2; office: never mentioned, so left
    out: mean of 8.33 and 0 points."""
    assert result.figures["delta"] == pytest.approx((100 / 3 - 25) / 2)


def test_questions(result):
    """Adversarial: cup yes (right), plate yes (wrong), kite "a" (counts as yes: right, unparsed), tree yes (wrong):
    2 of 4 right, all yes, F1 = 2*2 / (2*2 + 2)."""
    expected = {"accuracy": 50.0, "yes_ratio": 100.0, "unparsed": 25.0, "f1": 100 * 4 / 6}
    assert {name: result.figures[f"pope/adversarial/{name}"] for name in expected} == pytest.approx(expected)
    assert result.figures["pope/random/accuracy"] == 100.0
