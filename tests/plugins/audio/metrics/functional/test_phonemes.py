"""Edit distances of phonemes."""

import math
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign_audio.metrics.functional.phonemes import PhonemeErrors, phoneme_errors
from prefalign_audio.sound.torchaudio_build import torchaudio_functional

PHONEMES = st.lists(st.sampled_from(["a", "aː", "b", "ts"]), max_size=9)


@pytest.mark.parametrize(
    ("asked", "heard", "expected"),
    [
        ("abc", "abc", (0, 0, 0)),
        ("abc", "axc", (1, 0, 0)),
        ("abc", "ac", (0, 1, 0)),
        ("abc", "abbc", (0, 0, 1)),
        ("abc", "", (0, 3, 0)),
        ("", "ab", (0, 0, 2)),
        ("", "", (0, 0, 0)),
        ("kitten", "sitting", (2, 0, 1)),
        ("ab", "ba", (2, 0, 0)),  # or one deletion and one insertion, which is as short
    ],
)
def test_by_hand(asked: str, heard: str, expected: tuple[int, int, int]) -> None:
    found = phoneme_errors(list(asked), list(heard))
    assert (found.substitutions, found.deletions, found.insertions) == expected
    assert found.asked == len(asked)


def test_phonemes_are_not_letters() -> None:
    """aː and a differ, and are one phoneme each."""
    assert phoneme_errors(["ɡ", "n", "aː"], ["ɡ", "n", "a"]) == PhonemeErrors(1, 0, 0, 3)


def least(asked: list[str], heard: list[str]) -> tuple[int, int]:
    """(errors, -substitutions) of the best way, by trying all of them."""

    @cache
    def rest(i: int, j: int) -> tuple[int, int]:
        ways = []
        if i < len(asked) and j < len(heard):
            errors, substitutions = rest(i + 1, j + 1)
            differs = asked[i] != heard[j]
            ways.append((errors + differs, substitutions - differs))
        if i < len(asked):
            ways.append((rest(i + 1, j)[0] + 1, rest(i + 1, j)[1]))
        if j < len(heard):
            ways.append((rest(i, j + 1)[0] + 1, rest(i, j + 1)[1]))
        return min(ways, default=(0, 0))

    return rest(0, 0)


@settings(deadline=None)
@given(PHONEMES, PHONEMES)
def test_against_all_ways(asked: list[str], heard: list[str]) -> None:
    found = phoneme_errors(asked, heard)
    assert (found.total, -found.substitutions) == least(asked, heard)
    assert found.deletions - found.insertions == len(asked) - len(heard)
    assert min(found.substitutions, found.deletions, found.insertions) >= 0


@pytest.mark.oracle
@settings(deadline=None)
@given(PHONEMES, PHONEMES)
def test_against_torchaudio(asked: list[str], heard: list[str]) -> None:
    assert phoneme_errors(asked, heard).total == torchaudio_functional().edit_distance(asked, heard)


@settings(deadline=None)
@given(PHONEMES, PHONEMES, PHONEMES)
def test_a_distance(one: list[str], two: list[str], three: list[str]) -> None:
    """Symmetric, with deletions and insertions exchanged; and no detour is shorter."""
    there, back = phoneme_errors(one, two), phoneme_errors(two, one)
    assert (there.total, there.deletions, there.insertions) == (back.total, back.insertions, back.deletions)
    assert there.total <= phoneme_errors(one, three).total + phoneme_errors(three, two).total


def test_rates_add_up_over_utterances() -> None:
    """2 of 8 and 4 of 2 are 6 of 10, and not the mean of 0.25 and 2."""
    both = PhonemeErrors(1, 1, 0, 8) + PhonemeErrors(0, 1, 3, 2)
    assert both == PhonemeErrors(1, 2, 3, 10)
    assert both.rate == 0.6
    assert math.isnan(PhonemeErrors(0, 0, 0, 0).rate)


def test_long_songs_are_fast() -> None:
    """2,000 against 2,000 phonemes; in Python alone this is 4 million steps."""
    asked = [str(number % 40) for number in range(2_000)]
    found = phoneme_errors(asked, [*asked[1:], "x"])
    assert (found.total, found.substitutions) == (2, 0)
