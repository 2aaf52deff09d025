"""Lyrics as they stand under notes."""

from fractions import Fraction

import pytest

from prefalign_audio.songs.lyrics import clean, first_verse, spelling, words
from prefalign_audio.songs.score import LyricText, ScoreNote, Syllabic
from prefalign_audio.songs.song import Syllable


def note(*lyrics: tuple[str, str, Syllabic]) -> ScoreNote:
    return ScoreNote(Fraction(0), Fraction(1), 60, tuple(LyricText(*lyric) for lyric in lyrics))


def test_the_first_verse_is_the_lowest_line_that_begins() -> None:
    notes = [
        note(),
        note(("10", "zehn", "single"), ("2", "zwei", "single")),
        note(("1", "eins", "single")),
        note(("10", "z", "single")),
        note(("2", "und", "single")),
    ]
    assert first_verse(notes) == {1: Syllable("zwei", ()), 4: Syllable("und", ())}
    assert first_verse([note(), note()]) == {}
    assert first_verse([]) == {}


def test_words_end_where_their_syllables_say_so_and_with_the_lyric() -> None:
    written: list[tuple[str, Syllabic]] = [
        ("Gna", "begin"),
        ("den", "end"),
        ("ist", "single"),
        ("ar", "begin"),
        ("mes", "single"),  # the syllable before says that its word goes on
        ("Le", "begin"),
        ("be", "middle"),
    ]
    verse = list(first_verse([note(("1", *text)) for text in written]).values())
    assert [s.ends_word for s in verse] == [False, True, True, False, True, False, True]
    assert [["".join(s.text for s in word)] for word in words(verse)] == [["Gnaden"], ["ist"], ["armes"], ["Lebe"]]


def test_what_is_a_number_and_no_text_begins_nothing() -> None:
    assert first_verse([note(("1", "2.", "single")), note(("1", "ja", "begin"))]) == {1: Syllable("ja", (), True)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1. Was", "Was"),
        ("2) Ich", "Ich"),
        ("er -", "er"),
        ("Gna-", "Gna"),
        ("– i_", "i"),
        ("ge-ben", "ge-ben"),
        ("lie  ber", "lie ber"),
    ],
)
def test_clean(text: str, found: str) -> None:
    assert clean(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [("Noth!", "Not"), ("Thau", "Tau"), ("ſcheh’n", "schehn"), ("heil'", "heil"), ("i – son.", "i son")],
)
def test_spelling_in_german(text: str, found: str) -> None:
    assert spelling(text, "de") == found


def test_spelling_of_other_languages_and_of_syllables_that_meet() -> None:
    assert spelling("thou", "en-us") == "thou"
    # The t and the h of Gott-heit are of two syllables.
    assert spelling("Gott", "de") + spelling("heit", "de") == "Gottheit"
