"""Tokens and singulars."""

import subprocess
import sys
import time

import pytest

from prefalign_vision_llm.metrics.functional.words import caption_words, singular


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A dog. A cat", ["a", "dog", ".", "a", "cat"]),
        ("A DOG.\n\nA cat.", ["a", "dog", ".", "a", "cat", "."]),
        ("The sign reads “STOP SIGN.” A dog", ["the", "sign", "reads", "“", "stop", "sign", ".", "”", "a", "dog"]),
        ('(a "dog.") A cat', ["(", "a", "``", "dog", ".", "''", ")", "a", "cat"]),
        ("the dog’s bowl, the cat's cup", ["the", "dog", "’", "s", "bowl", ",", "the", "cat", "'s", "cup"]),
        ("dog…cat—bird–cow", ["dog…cat", "—", "bird", "–", "cow"]),
        ("a horse-drawn cart", ["a", "horse-drawn", "cart"]),
        ("a dog\u00a0and a café", ["a", "dog", "and", "a", "café"]),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_caption_words(caption: str, words: list[str]) -> None:
    """Full stops come off at every sentence end, behind closing marks too; inner hyphens stay."""
    assert caption_words(caption) == words


@pytest.mark.parametrize(
    ("plural", "expected"),
    [
        ("dogs", "dog"),
        ("benches", "bench"),
        ("knives", "knife"),
        ("people", "person"),
        ("children", "child"),
        ("buses", "bus"),
        ("sheep", "sheep"),
        ("scissors", "scissors"),
        ("bus", "bu"),  # the published damage, which `ObjectVocabulary` is there to handle
        ("glass", "glas"),
        ("'" * 50_000, "'" * 50_000),  # the library alone recurses once per apostrophe
        ("", ""),
    ],
)
def test_singular(plural: str, expected: str) -> None:
    """Values of the pattern rules, by hand."""
    assert singular(plural) == expected


@pytest.mark.parametrize("piece", ["'", ".", '."', "(", "'s", "-", 'dog."', "\ud800", "\x00", "a"])
def test_hostile_text_takes_no_time(piece: str) -> None:
    """Ten thousand repetitions of anything are cut within seconds, so no rule backtracks."""
    start = time.perf_counter()
    for word in caption_words(piece * 10_000):
        singular(word)
    assert time.perf_counter() - start < 5


def test_nothing_functional_imports_torch() -> None:
    """The commands start without torch, and `--help` even without nltk."""
    script = (
        "import sys\n"
        "from prefalign_vision_llm.commands import chair, pope\n"
        "assert not {'nltk', 'textblob', 'torch', 'numpy'} & sys.modules.keys()\n"
        "import prefalign_vision_llm.metrics.functional.over_generalisation\n"
        "from prefalign_vision_llm.metrics.functional.chair import mentioned_objects\n"
        "assert mentioned_objects('two dogs') == ['dog']\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
