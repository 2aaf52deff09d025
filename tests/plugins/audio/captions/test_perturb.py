"""Perturbed captions, hand-derived, and on the captions of BATON if they are at hand."""

import random

import pytest

from prefalign_audio.captions.parse import parse
from prefalign_audio.captions.perturb import drop, normal, replace, swap, without


def every(change: object, text: str, *arguments: object) -> set[str | None]:
    """What comes out over forty draws."""
    return {change(parse(text), *arguments, random.Random(seed)) for seed in range(40)}


def test_swap_exchanges_what_has_an_order() -> None:
    assert every(swap, "A dog barks then a cat meows.") == {"A cat meows then a dog barks."}
    assert every(swap, "bird, bell and then gun") == {
        *("bell, bird and then gun", "gun, bell and then bird", "bird, gun and then bell")
    }
    assert every(swap, "After a dog barks, a cat meows") == {"After a cat meows, a dog barks"}
    # Bird and bell sound together: only their exchange with the gun says something else.
    assert every(swap, "bird while bell, then gun") == {"gun while bell, then bird", "bird while gun, then bell"}


@pytest.mark.parametrize("text", ["bird and bell", "bird while bell", "bird", "", "bell then Bell", "A, B"])
def test_swap_of_what_has_no_order_says_nothing_new(text: str) -> None:
    assert every(swap, text) == {None}


def test_drop() -> None:
    assert every(drop, "A dog barks then a cat meows.") == {"A dog barks.", "A cat meows."}
    assert every(drop, "After a dog barks, a cat meows") == {"A dog barks", "A cat meows"}
    assert every(drop, "bird") == every(drop, "") == {None}


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        ("A dog, a cat, and then rain", ["A cat, and then rain", "A dog, and then rain", "A dog, then a cat"]),
        ("rain before wind while hail", ["wind while hail", "rain before hail", "rain before wind"]),
        ("After rain, wind, then hail", ["Wind, then hail", "Rain, then hail", "After rain, wind"]),
        # Rain and hail both come before the wind, and nothing is said of the two: they share a place.
        ("rain then wind after hail", ["wind after hail", "rain while hail", "rain then wind"]),
        ("Rain first, a bell, and then hail", ["A bell, and then hail", "Rain, and then hail", "Rain first, a bell"]),
    ],
)
def test_what_remains_keeps_its_order(text: str, shorter: list[str]) -> None:
    assert [without(parse(text), index) for index in range(3)] == shorter


def test_replace_takes_what_is_not_named() -> None:
    assert every(replace, "A dog barks then rain.", ["Rain", "a dog barks", "thunder"]) == {
        *("Thunder then rain.", "A dog barks then thunder.")
    }
    assert every(replace, "rain then hail", ["rain", "hail"]) == every(replace, "", ["rain"]) == {None}


def test_the_same_words_are_the_same_caption() -> None:
    assert normal(" A dog,  barks. ") == normal("a Dog barks")
    assert normal("a dog barks") != normal("a dog bark")
    assert normal("…") == ""


def test_real_captions(real_captions: dict[int, list[str]]) -> None:
    """216 of the 220 captions of two events and 211 of the 216 of three are taken apart into as many.

    Wherever that is so, one fewer is one fewer, and the rest keeps its order.
    """
    whole = {count: [parse(text) for text in texts] for count, texts in real_captions.items()}
    assert {count: [caption.text for caption in captions] for count, captions in whole.items()} == real_captions
    right = {count: [c for c in captions if len(c.events) == count] for count, captions in whole.items()}
    assert {count: len(captions) for count, captions in right.items()} == {2: 216, 3: 211}
    for caption in right[3]:
        for index in range(3):
            first, second = (rank for number, rank in enumerate(caption.ranks) if number != index)
            rest = parse(without(caption, index))
            assert len(rest.events) == 2
            assert (rest.ranks[0] < rest.ranks[1], rest.ranks[0] > rest.ranks[1]) == (first < second, first > second)
    swapped = [swap(caption, random.Random(0)) for caption in right[3]]
    assert sum(text is not None for text in swapped) == 210
    assert all(normal(text) != normal(c.text) for text, c in zip(swapped, right[3], strict=True) if text)
