"""Captions taken apart: hand-derived events, relations and order in time; what is read is written back unchanged."""

import time

import pytest

from prefalign_audio.captions.parse import MAX_LENGTH, parse

#: caption, events in the order of the text, relations, ranks in time.
CASES = {
    "bird then bell": (["bird", "bell"], ["then"], [0, 1]),
    "A dog barks, followed by rain.": (["A dog barks", "rain"], ["then"], [0, 1]),
    "A sneeze is followed by a hiss": (["A sneeze", "a hiss"], ["then"], [0, 1]),
    "bird, bell and then gun": (["bird", "bell", "gun"], ["then", "then"], [0, 1, 2]),
    "A drill operates, then a car, and a bell": (["A drill operates", "a car", "a bell"], ["then", "then"], [0, 1, 2]),
    "bird before bell": (["bird", "bell"], ["then"], [0, 1]),
    "bird after bell": (["bird", "bell"], ["after"], [1, 0]),
    "rain preceded by thunder": (["rain", "thunder"], ["after"], [1, 0]),
    "After a dog barks, a cat meows": (["a dog barks", "a cat meows"], ["then"], [0, 1]),
    "Before a dog barks, a cat meows": (["a dog barks", "a cat meows"], ["after"], [1, 0]),
    "While a dog barks, a cat meows": (["a dog barks", "a cat meows"], ["with"], [0, 0]),
    "First, a bell rings, then a dog barks": (["a bell rings", "a dog barks"], ["then"], [0, 1]),
    "A bell first, a dog, and a cat": (["A bell", "a dog", "a cat"], ["then", "then"], [0, 1, 2]),
    "A bell at first, then a dog": (["A bell", "a dog"], ["then"], [0, 1]),
    "A bell initially, with a dog barking, and then rain": (
        *(["A bell", "a dog barking", "rain"], ["with", "then"]),
        [0, 0, 1],
    ),
    "bird and bell": (["bird", "bell"], ["with"], [0, 0]),
    "Rain falls, and a dog barks": (["Rain falls", "a dog barks"], ["with"], [0, 0]),
    "A man speaks while a dog barks": (["A man speaks", "a dog barks"], ["with"], [0, 0]),
    "A dog barks as rain falls": (["A dog barks", "rain falls"], ["with"], [0, 0]),
    "Food sizzles as it fries, and then a goat bleats": (
        ["Food sizzles as it fries", "a goat bleats"],
        ["then"],
        [0, 1],
    ),
    "A cat meows, accompanied by a violin": (["A cat meows", "a violin"], ["with"], [0, 0]),
    "The hiss mixes with the neighing of horses": (["The hiss", "the neighing of horses"], ["with"], [0, 0]),
    "Birds chirp and tweet, then a bell rings": (["Birds chirp and tweet", "a bell rings"], ["then"], [0, 1]),
    "A dog barks. Then a cat meows.": (["A dog barks", "a cat meows"], ["then"], [0, 1]),
    "A hum,then a thud": (["A hum", "a thud"], ["then"], [0, 1]),
    "The clatter of dishes, pots, and pans, then rain": (
        *(["The clatter of dishes, pots, and pans", "rain"], ["then"]),
        [0, 1],
    ),
    "An acoustic guitar plays": (["An acoustic guitar plays"], [], [0]),
    "bells, then": (["bells, then"], [], [0]),
    "While rain falls": (["While rain falls"], [], [0]),
    " , and then ": ([], [], []),
    "": ([], [], []),
    " ... ": ([], [], []),
}


@pytest.mark.parametrize("text", CASES)
def test_what_a_caption_says(text: str) -> None:
    events, relations, ranks = CASES[text]
    caption = parse(text)
    assert list(caption.events) == events
    assert list(caption.relations) == relations
    assert list(caption.ranks) == ranks
    assert caption.text == text
    assert len(caption.pieces) == len(events) + 1


def test_ranks_are_places_in_time() -> None:
    """Beside "then" and "while": A1 B2 C2; "after" puts the second before the first."""
    assert parse("bird then bell while gun").ranks == (0, 1, 1)
    assert parse("bird after bell").ranks == (1, 0)
    assert parse("bird after bell, then gun").ranks == (1, 0, 1)


def test_capitals_follow_the_place() -> None:
    caption = parse("A dog barks. Then TV noise.")
    assert caption.write(["TV noise", "A dog barks"]) == "TV noise. Then a dog barks."
    assert parse("bird then bell").write(["bell", "bird"]) == "bell then bird"
    assert parse("After A dog barks, a cat meows").write(["a cat", "a dog"]) == "After a cat, a dog"
    with pytest.raises(ValueError, match="argument 2 is longer"):
        caption.write(["one"])


@pytest.mark.parametrize("filling", ["of a, ", "and ", ", ", "then ", "a then ", " ", "of of, ", "first "])
def test_no_caption_takes_long(filling: str) -> None:
    start = time.perf_counter()
    parse(filling * (MAX_LENGTH // len(filling)))
    assert parse("bell then " * MAX_LENGTH).events == ("bell then " * MAX_LENGTH,)
    assert time.perf_counter() - start < 2
