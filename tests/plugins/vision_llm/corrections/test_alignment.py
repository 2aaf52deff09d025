"""Differences between texts, by hand and by properties."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefalign.interfaces import PrefalignError
from prefalign_vision_llm.corrections.alignment import Change, changes, placed, settled, tokens, words

#: Few words, so that equal runs are frequent.
SENTENCES = st.lists(st.sampled_from(["a", "and", "cup", "pan", "."]), max_size=12)


def split(text: str) -> list[str]:
    return text.split()


def rebuilt(found: Sequence[Change], rejected: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """The rejected text with its changed units replaced by those of the chosen one."""
    made, at = [], 0
    for change in found:
        made += [*rejected[at : change.rejected[0]], *chosen[slice(*change.chosen)]]
        at = change.rejected[1]
    return [*made, *rejected[at:]]


def test_words_and_their_places() -> None:
    """Apostrophes and hyphens stay inside words; punctuation stands alone; the end is one past the last character."""
    units = words("A well-kept dog's bed, blue.")
    assert units.keys == ["A", "well-kept", "dog's", "bed", ",", "blue", "."]
    assert units.spans == [(0, 1), (2, 11), (12, 17), (18, 21), (21, 22), (23, 27), (27, 28)]
    assert units.characters(1, 3) == (2, 17)
    assert units.characters(7, 8) == (28, 29)


def test_tokens_and_their_places(llava_family: Any) -> None:
    tokenizer = llava_family.processor.tokenizer
    units = tokens("a cup .", tokenizer)
    assert units.keys == [11, 14, 10]
    assert units.spans == [(0, 1), (2, 5), (6, 7)]
    with pytest.raises(PrefalignError, match="use a fast tokenizer"):
        tokens("a cup .", object())


@pytest.mark.parametrize(
    ("rejected", "chosen", "expected"),
    [
        ("a cup .", "a cup .", []),
        ("a cup .", "a pan .", [((1, 2), (1, 2))]),
        ("a cup and a pan .", "a cup .", [((2, 5), (2, 2))]),
        ("a cup .", "a cup and a pan .", [((2, 2), (2, 5))]),
        ("a cup . a pan .", "a cup .", [((3, 6), (3, 3))]),
        ("", "a cup", [((0, 0), (0, 2))]),
        ("cup pan dog", "cup . dog tree", [((1, 2), (1, 2)), ((3, 3), (3, 4))]),
    ],
)
def test_changes_by_hand(rejected: str, chosen: str, expected: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    assert changes(rejected.split(), chosen.split()) == [Change(*pair) for pair in expected]


def test_short_runs_may_count_as_changed() -> None:
    """`and a` (two words) between two changed ones is changed too; `is there .` (three) and the beginning are not."""
    rejected, chosen = split("a dog and a tree is there ."), split("a cup and a pan is there .")
    assert changes(rejected, chosen, shortest=3) == [Change((1, 5), (1, 5))]
    assert changes(rejected, chosen) == [Change((1, 2), (1, 2)), Change((4, 5), (4, 5))]


def test_frequent_words_are_compared_like_any_others() -> None:
    """301 words of which each is frequent: Python's heuristic, left on, finds nothing equal and marks everything."""
    tail = ["a", "cup"] * 150
    assert changes(["dog", *tail], ["tree", *tail]) == [Change((0, 1), (0, 1))]


def test_deletions_move_behind_what_they_repeat() -> None:
    """Taking `and a pan` or `a pan and` leaves `and` or `a` behind, as it stood before; taking `pan and a`, `plate`."""
    rejected, chosen = split("a cup and a pan and a plate ."), split("a cup and a plate .")
    for start in (2, 3, 4):
        found = settled([Change((start, start + 3), (start, start))], rejected, chosen)
        assert found == [Change((4, 7), (4, 4))]
        mirrored = settled([Change((start, start), (start, start + 3))], chosen, rejected)
        assert mirrored == [Change((4, 4), (4, 7))]


def test_a_deletion_that_reaches_the_next_change_joins_it() -> None:
    """`and a pan` goes, and `dog` becomes `tree`: sliding over `and a`, the deletion meets the replacement."""
    rejected, chosen = split("a cup and a pan and a dog ."), split("a cup and a tree .")
    apart = [Change((2, 5), (2, 2)), Change((7, 8), (4, 5))]
    assert settled(apart, rejected, chosen) == [Change((4, 8), (4, 5))]


def test_annotated_places_become_changes() -> None:
    """`pan` for `cup` where words are covered; an empty span lies between `cup` and `.`; half a word is the word."""
    rejected, chosen = words("a cup and a pan ."), words("a cup .")
    assert placed(rejected, chosen, [(5, 15)], [(5, 5)]) == [Change((2, 5), (2, 2))]
    assert placed(rejected, chosen, [(3, 4)], [(2, 5)]) == [Change((1, 2), (1, 2))]
    assert placed(rejected, chosen, [(5, 5)], [(5, 5)]) == []


@pytest.mark.parametrize(
    ("rejected", "chosen", "problem"),
    [
        ([(0, 1)], [], "as many annotated spans in both answers, got 1 and 0"),
        ([(0, 99)], [(0, 1)], r"\[0, 99\) is out of order or outside the answer's 17 characters"),
        ([(6, 9), (2, 5)], [(0, 1), (2, 5)], r"\[2, 5\) is out of order"),
        ([(2, 1)], [(0, 1)], r"\[2, 1\) is out of order"),
        ([(-1, 1)], [(0, 1)], r"\[-1, 1\) is out of order"),
    ],
)
def test_bad_annotations_are_refused(
    rejected: list[tuple[int, int]], chosen: list[tuple[int, int]], problem: str
) -> None:
    with pytest.raises(PrefalignError, match=problem):
        placed(words("a cup and a pan ."), words("a cup ."), rejected, chosen)


@given(SENTENCES, SENTENCES)
def test_changes_lead_from_one_text_to_the_other(rejected: list[str], chosen: list[str]) -> None:
    found = changes(rejected, chosen)
    moved = settled(found, rejected, chosen)
    for several in (found, moved, changes(rejected, chosen, shortest=3)):
        assert rebuilt(several, rejected, chosen) == chosen
    assert bool(found) == (rejected != chosen)


@given(SENTENCES, SENTENCES)
def test_settled_deletions_leave_something_else_behind(rejected: list[str], chosen: list[str]) -> None:
    """The unit after a deletion differs from the first one deleted; insertions alike; changes stay apart."""
    moved = settled(changes(rejected, chosen), rejected, chosen)
    for change in moved:
        if change.deletion:
            assert rejected[change.rejected[0]] != [*rejected, None][change.rejected[1]]
        if change.insertion:
            assert chosen[change.chosen[0]] != [*chosen, None][change.chosen[1]]
    for first, second in itertools.pairwise(moved):
        assert second.rejected[0] - first.rejected[1] == second.chosen[0] - first.chosen[1] > 0
