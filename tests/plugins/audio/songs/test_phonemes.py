"""Phonemes of syllables: how words are divided, what espeak-ng says, and what is refused."""

import pytest

from prefalign_audio.songs import phonemes as module
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.phonemes import divided, is_vowel, phonemes_of, speak_lyrics
from prefalign_audio.songs.song import Note, Song, Syllable


def sung(*texts: str) -> Song:
    """A song of the syllables; a hyphen behind one says that its word goes on."""
    lyric = tuple(Syllable(text.rstrip("-"), (), not text.endswith("-")) for text in texts)
    notes = tuple(Note(step, 1, 60, begins=True) for step in range(len(lyric)))
    return Song(length=len(lyric), vocal=notes, lyric=lyric, name="s1")


def spoken(*texts: str, language: str = "de") -> list[str]:
    ((song,), _) = speak_lyrics([sung(*texts)], language)
    return ["".join(syllable.phonemes) for syllable in song.lyric]


def split(word: str, *alone: str) -> list[str] | None:
    found = divided(tuple(word.split()), [tuple(syllable.split()) for syllable in alone])
    return None if found is None else [" ".join(phonemes) for phonemes in found]


def test_consonants_go_where_the_syllables_alone_have_them() -> None:
    # trüb-sal-voll: b and s are apart although "psal" could begin a syllable.
    assert split("t r y p z a l f o l", "t r y p", "z a l", "f o l") == ["t r y p", "z a l", "f o l"]
    # In the word a consonant may be voiced that is not when the syllable stands alone.
    assert split("l i b ə n", "l i p", "ə n") == ["l i b", "ə n"]
    assert split("l i b ə n", "l i", "b e n") == ["l i", "b ə n"]
    # Which consonant it is decides, where there are as many on either side.
    assert split("a s a", "a s", "t a") == ["a s", "a"]


def test_a_consonant_that_fits_neither_side_begins_the_later_syllable() -> None:
    assert split("a x a", "a", "a") == ["a", "x a"]
    assert split("a x a", "a f", "s a") == ["a", "x a"]


def test_neighbouring_vowels_are_divided_between_them() -> None:
    assert split("f r ɔø ə t", "f r ɔø", "e t") == ["f r ɔø", "ə t"]


def test_another_number_of_vowels_cannot_be_divided() -> None:
    assert split("k y r i", "k y", "r i", "e") is None
    assert split("t", "t") is None


def test_all_of_a_word_is_divided_and_nothing_added() -> None:
    word = ("h", "ɛ", "ɾ", "ts", "l", "iː", "p", "s", "t", "ɜ")
    found = divided(word, [("h", "ɛ", "ɾ", "ts"), ("l", "iː", "p"), ("s", "t", "eː", "ɾ")])
    assert found is not None
    assert tuple(phoneme for syllable in found for phoneme in syllable) == word


def test_vowels() -> None:
    assert all(map(is_vowel, ("a", "aː", "aɪ", "ɔø", "ɜ", "ə", "n̩")))
    assert not any(map(is_vowel, ("t", "ts", "ç", "ŋ", "j", "ʔ", "")))


def test_a_missing_espeak_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    program = 'import json; print(json.dumps({"error": "espeakng_loader is not installed", "missing": True}))'
    monkeypatch.setattr(module, "_COMMAND", ("-c", program))
    with pytest.raises(SongError, match=r'pip install "prefalign-audio\[songs\]"'):
        phonemes_of(["ja"])


def test_an_espeak_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COMMAND", ("-c", "raise SystemExit('no such data')"))
    with pytest.raises(SongError, match=r"does not run here .* no such data"):
        phonemes_of(["ja"])


def test_nothing_is_asked_for_songs_without_lyrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COMMAND", ("-c", "raise SystemExit"))
    silent = Song(length=1, vocal=())
    songs, report = speak_lyrics([silent])
    assert songs == [silent]
    assert (report.syllables, report.coverage) == (0, 1.0)


class TestEspeak:
    """What espeak-ng itself says."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("espeakng_loader")

    def test_words_are_spoken_whole(self) -> None:
        assert spoken("ge-", "ben", "lie-", "ben") == ["ɡeː", "bən", "liː", "bən"]
        # Alone, "ben" has a long vowel, and "lieb" ends unvoiced.
        assert spoken("ben", "lieb") == ["beːn", "liːp"]

    def test_no_schwa_in_gn(self) -> None:
        assert spoken("Gna-", "den,") == ["ɡnɑː", "dən"]

    def test_apostrophes_punctuation_and_old_spelling(self) -> None:
        assert spoken("ge-", "ſcheh'n") == spoken("ge-", "schehn") == ["ɡə", "ʃeːn"]
        assert spoken("Noth!") == spoken("Not")
        assert spoken("hab’n") == spoken("hab'n")

    def test_words_that_are_not_divided_are_spoken_syllable_by_syllable_and_counted(self) -> None:
        (song,), report = speak_lyrics([sung("Ky-", "ri-", "e", "Ja")])
        assert [bool(s.phonemes) for s in song.lyric] == [True] * 4
        assert report.words == {"Ky-ri-e": 1}
        assert (report.syllables, report.by_word, report.alone, report.silent) == (4, 1, 3, 0)

    def test_what_is_no_text_stays_silent_and_is_counted(self) -> None:
        _, report = speak_lyrics([sung("…", "Ja")])
        assert (report.silent, report.coverage) == (1, 0.5)

    def test_another_language(self) -> None:
        assert spoken("light", language="en-us") == ["laɪt"]
        with pytest.raises(SongError, match="no voice 'xx-none'"):
            spoken("light", language="xx-none")

    def test_a_null_character_is_no_end_of_the_request(self) -> None:
        assert spoken("ja\0", "nein") == spoken("ja", "nein")
