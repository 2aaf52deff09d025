"""CHAIR against hand counts, against a slow second implementation, and against published figures."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.tokenize import TreebankWordTokenizer
from textblob.inflect import singularize

from prefalign_vision_llm.metrics.functional.chair import ChairCounts, chair, mentioned_objects
from prefalign_vision_llm.metrics.functional.errors import MetricInputError
from prefalign_vision_llm.metrics.functional.vocabulary import ObjectVocabulary, coco_vocabulary

# What each phrase mentions, by hand.
PHRASES = {
    "dog": ["dog"],
    "dogs": ["dog"],
    "hot dog": ["hot dog"],
    "hot dogs": ["hot dog"],
    "puppies": ["dog"],
    "baby elephant": ["elephant"],
    "baby elephants": ["elephant"],
    "adult cow": ["cow"],
    "baby": ["person"],
    "passenger train": ["train"],
    "train tracks": [],
    "trains": ["train"],
    "toilet seat": ["toilet"],
    "wine glasses": ["wine glass"],
    "wine glass": ["wine glass"],
    "glasses": [],
    "traffic light": ["traffic light"],
    "stop signs": ["stop sign"],
    "sign": [],
    "knives": ["knife"],
    "women": ["person"],
    "teddy bear": ["teddy bear"],
    "bears": ["bear"],
    "cell phones": ["cell phone"],
    "motor bike": ["motorcycle"],
    "cheesecake": ["cake"],
    "potted plants": ["potted plant"],
    "dining tables": ["dining table"],
    "fire hydrant": ["fire hydrant"],
    "café": [],
    "naïve 犬": [],
    "home plate": [],
    "people": ["person"],
    "luggage": ["suitcase"],
    "skis": ["skis"],
    "scissors": ["scissors"],
    "computer": ["laptop"],
}
PHRASES["bow ties"] = ["tie"]  # bow, ty: the singulariser breaks the term, and `bow` alone is a tie
OBJECTS = sorted({name for names in PHRASES.values() for name in names})
# What may stand between two phrases; each keeps words of the two from meeting in a term.
GAPS = (
    ". A ",
    " and a ",
    ", the ",
    "! Some ",
    "? Two ",
    ".\n\nThe ",
    '." A ',
    ".) The ",
    "; a ",
    " — ",
    ": ",
    " (a) ",
    ".” A ",
)
CASES = (str.lower, str.upper, str.title, str.capitalize)

phrase = st.tuples(st.sampled_from(sorted(PHRASES)), st.sampled_from(CASES), st.sampled_from(GAPS))
scene = st.tuples(st.lists(phrase, max_size=8), st.sets(st.sampled_from(OBJECTS), max_size=5))


def spoken(phrases: list) -> tuple[str, list[str]]:
    """Make a caption of phrases, and list by the table above what it mentions."""
    text = "A " + "".join(case(words) + gap for words, case, gap in phrases)
    return text, [name for words, _, _ in phrases for name in PHRASES[words]]


def tallied(scenes: list) -> tuple[float, float, float]:
    """CHAIRi, CHAIRs and recall in percent, counted naively from what `spoken` lists."""
    mentions = wrong = wrong_captions = found = there = 0
    for phrases, present in scenes:
        named = spoken(phrases)[1]
        mentions += len(named)
        bad = 0
        for name in named:
            if name not in present:
                bad += 1
        wrong += bad
        if bad > 0:
            wrong_captions += 1
        for name in present:
            there += 1
            if name in named:
                found += 1
    return (
        100 * wrong / mentions if mentions else 0,
        100 * wrong_captions / len(scenes) if scenes else 0,
        100 * found / there if there else 0,
    )


def scored(scenes: list) -> ChairCounts:
    return chair([spoken(phrases)[0] for phrases, _ in scenes], [present for _, present in scenes])


@given(st.lists(phrase, max_size=10))
@settings(max_examples=300, deadline=None)
def test_any_phrases_in_any_case_and_punctuation(phrases: list) -> None:
    """Phrases keep their mentions whatever their case, their order and the punctuation around them."""
    text, expected = spoken(phrases)
    assert mentioned_objects(text) == expected, text


@given(st.lists(scene, max_size=8), st.randoms(use_true_random=False), st.integers(0, 8))
@settings(max_examples=150, deadline=None)
def test_counts_match_a_naive_tally_and_add_up(scenes: list, random: object, cut: int) -> None:
    """The rates are those of a naive tally; order does not matter; two halves add up to the whole."""
    whole = scored(scenes)
    assert (whole.chair_i, whole.chair_s, whole.recall) == pytest.approx(tallied(scenes))
    assert scored(scenes[:cut]) + scored(scenes[cut:]) == whole
    shuffled = list(scenes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert scored(shuffled) == whole


def test_by_hand() -> None:
    """Three captions.

    1: dog, dog, frisbee with {dog}: 1 of 3 hallucinated, recalls 1 of 1. 2: nothing with {cat, bed}: recalls 0 of 2.
    3: cat, cat, cat with {dog}: 3 of 3, recalls 0 of 1. CHAIRi = 4/6, CHAIRs = 2/3, recall = 1/4.
    """
    captions = ["A dog chases another dog and a frisbee.", "A quiet room", "cats and cats and cats"]
    counts = chair(captions, [["dog"], ["cat", "bed", "cat"], {"dog"}])
    assert (counts.chair_i, counts.chair_s, counts.recall) == pytest.approx((400 / 6, 200 / 3, 25))
    assert (counts.captions, counts.captions_hallucinated) == (3, 2)
    assert counts.mentions == {"dog": 2, "frisbee": 1, "cat": 3}
    assert counts.hallucinated == {"frisbee": 1, "cat": 3}
    assert counts.present == {"dog": 2, "cat": 1, "bed": 1}
    assert counts.recalled == {"dog": 1}


@pytest.mark.parametrize(("captions", "objects"), [([], []), (["no object here"], [[]]), (["", "  "], [[], []])])
def test_ratios_over_nothing_are_zero(captions: list[str], objects: list[list[str]]) -> None:
    """No mentions, no objects, no captions: 0, and the count says why."""
    counts = chair(captions, objects)
    assert (counts.chair_i, counts.chair_s, counts.recall) == (0, 0, 0)
    assert counts.captions == len(captions)


def test_other_vocabulary() -> None:
    """Shapes instead of COCO: 1 of 2 mentions is hallucinated, 1 of 1 recalled; a dog is nothing."""
    counts = chair(["a circle , a star and a dog"], [["circle"]], ObjectVocabulary.of(["circle", "star"]))
    assert (counts.chair_i, counts.chair_s, counts.recall) == (50, 100, 100)


@pytest.mark.parametrize(
    ("captions", "objects", "message"),
    [
        ("a dog", [["dog"]], "captions is a single text"),
        (["a dog"], [], "1 captions with 0 sets of objects"),
        (["a dog", None], [["dog"], ["dog"]], r"captions\[1\]: expected a text, found NoneType"),
        (["a dog", "a cat"], [["dog"], ["catt"]], r"objects\[1\]: unknown object 'catt'; did you mean 'cat'"),
        (["a dog"], ["dog"], r"objects\[0\]: the objects of an image are the single text 'dog'"),
    ],
)
def test_refuses(captions: list[str], objects: list[list[str]], message: str) -> None:
    """Wrong lengths and types are refused with their place."""
    with pytest.raises(MetricInputError, match=message):
        chair(captions, objects)


# The published figures: CHAIRi, CHAIRs, recall in percent, object mentions.
PUBLISHED = {
    "Instruction1_llava": (18.76, 62.70, 76.7, 14_838),
    "Instruction1_minigpt-4": (9.19, 31.50, 60.9, 14_473),
    "Instruction2_mplug": (14.83, 25.40, 46.8, 5_353),
    "Instruction2_instructblip": (2.63, 3.70, 42.2, 2_812),
}


def real_captions(folder: Path, name: str) -> tuple[list[str], list[list[str]]]:
    with gzip.open(folder / f"pope_captions_{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    with gzip.open(folder / "coco_val2014_objects.json.gz", "rt", encoding="utf-8") as file:
        objects = json.load(file)
    return [row["caption"] for row in rows], [objects[str(row["image_id"])] for row in rows]


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("strict", [True, False])
def test_published_figures_of_real_captions(shared_data: Path, name: str, strict: bool) -> None:
    """As released, every published rate is met to its last digit, and the mentions within 2.

    The two are a word before `."` inside a MiniGPT-4 caption. Repaired entries move no rate by more than 0.02 points.
    """
    counts = chair(*real_captions(shared_data, name), coco_vocabulary(strict=strict))
    chair_i, chair_s, recall, mentions = PUBLISHED[name]
    slack = 0 if strict else 0.02
    assert counts.chair_i == pytest.approx(chair_i, abs=0.005 + slack)
    assert counts.chair_s == pytest.approx(chair_s, abs=0.005 + slack)
    assert counts.recall == pytest.approx(recall, abs=0.05 + slack)
    assert 0 <= counts.mentions.total() - mentions <= (2 if strict else 6)


@pytest.mark.oracle
@pytest.mark.parametrize("name", PUBLISHED)
def test_each_real_caption_against_a_second_implementation(shared_data: Path, name: str) -> None:
    """Caption by caption, in order, on the published table read anew and with nltk's classic Treebank tokens."""
    table = json.loads((shared_data / "chair_synonyms.json").read_text(encoding="utf-8"))
    node_of = {word: node for node, words in table["objects"].items() for word in words}
    classic = TreebankWordTokenizer()

    def second_opinion(caption: str) -> list[str]:
        sentences, sentence, text = [], "", caption.lower()
        for place, letter in enumerate(text):
            sentence += letter
            closed = sentence.rstrip("\"')]}”’»")
            if closed.endswith(".") and text[place + 1 : place + 2].isspace():
                sentences.append(sentence)
                sentence = ""
        words = [singularize(word) for part in [*sentences, sentence] for word in classic.tokenize(part)]
        place = 0
        while place < len(words):
            if place + 1 < len(words) and f"{words[place]} {words[place + 1]}" in table["double_words"]:
                words[place : place + 2] = [table["double_words"][f"{words[place]} {words[place + 1]}"]]
            place += 1
        if "toilet" in words:
            words = [word for word in words if word != "seat"]
        return [node_of[word] for word in words if node_of.get(word)]

    for caption in real_captions(shared_data, name)[0]:
        assert mentioned_objects(caption, coco_vocabulary(strict=True)) == second_opinion(caption), caption
