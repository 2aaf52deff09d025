"""Syllables and tags as places of ids."""

import pytest
import torch

from prefalign.interfaces import Media, Message, PrefalignError, Prompt
from prefalign_audio.streams.conditions.song import SongConditions, write_vocabulary

WORDS = SongConditions(["a", "n", "oː"])
FIRST = WORDS.ids - 3


def asked(**conditions):
    return Prompt(conditions=conditions)


def test_places_by_hand():
    """A place a tag in the order of the tags, then one a syllable; the mark of a word's end is summed in."""
    prompt = asked(syllables=[{"phonemes": ["n", "a"], "ends_word": True}, {"phonemes": ["oː"]}], mode="minor")
    minor, end = WORDS.words.index("mode:minor"), WORDS.words.index("|")
    assert WORDS.encode(prompt)["ids"].tolist() == [[minor, 0, 0], [FIRST + 1, FIRST, end], [FIRST + 2, 0, 0]]
    assert WORDS.encode(Prompt())["ids"].tolist() == [[0]]


def test_all_conditions_end_at_the_same_place():
    encoded = [WORDS.encode(asked(mode="major")), WORDS.encode(asked(syllables=[{"phonemes": ["a", "n"]}] * 2))]
    found = WORDS.collate(encoded)
    major = WORDS.words.index("mode:major")
    assert found["ids"].tolist() == [[[0, 0], [major, 0]], [[FIRST, FIRST + 1]] * 2]
    assert found["mask"].tolist() == [[False, True], [True, True]]


REFUSED = [
    (asked(tempo=3), "unknown condition 'tempo'"),
    (asked(mode="minr"), "unknown mode 'minr'.*minor"),
    (asked(quality="hihg"), "unknown quality 'hihg'.*high"),
    (asked(syllables=[{"phonemes": ["a"]}, {"phonemes": ["o"]}]), r"syllables\[1\]: phoneme 'o'"),
    (asked(syllables=[{"phonemes": ["mode:major"]}]), "phoneme 'mode:major'"),
    (asked(syllables=[{"phonemes": ["|"]}]), r"phoneme '\|'"),
    (asked(syllables=[{"phonemes": [""]}]), "phoneme ''"),
    (asked(syllables=[{"phonemes": [["a"]]}]), "phoneme"),
    (asked(syllables=[{"phonemes": "an"}]), "a list of at least one"),
    (asked(syllables=[{"phonemes": []}]), "a list of at least one"),
    (asked(syllables=["a"]), "expected a mapping with phonemes"),
    (Prompt(text="a song"), "without text"),
    (Prompt(messages=(Message("user", ("a song",)),)), "without text, messages"),
    (Prompt(media=(Media(kind="image", data=b"x"),)), "and media"),
]


@pytest.mark.parametrize(("prompt", "said"), REFUSED)
def test_what_it_does_not_read(prompt, said):
    with pytest.raises(PrefalignError, match=said):
        WORDS.encode(prompt)


def test_a_vocabulary_is_written_and_read(tmp_path):
    prompts = [asked(syllables=[{"phonemes": ["oː", "n"]}, {"phonemes": ["a"]}]), asked(mode="major")]
    write_vocabulary(prompts, tmp_path / "condition_words.json")
    for place in (tmp_path, tmp_path / "condition_words.json"):
        assert SongConditions(str(place)).fingerprint() == WORDS.fingerprint()
    (tmp_path / "copy.json").write_text(WORDS.files()["condition_words.json"], encoding="utf-8")
    assert SongConditions(str(tmp_path / "copy.json")).words == WORDS.words
    assert SongConditions(["n", "a", "oː"]).fingerprint() != WORDS.fingerprint()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"phonemes": "an"}', '{"phonemes": [1]}'])
def test_a_file_that_is_no_vocabulary(tmp_path, text):
    (tmp_path / "words.json").write_text(text)
    with pytest.raises(PrefalignError, match=r"words\.json: expected"):
        SongConditions(str(tmp_path / "words.json"))
    with pytest.raises(PrefalignError, match="no such vocabulary"):
        SongConditions(str(tmp_path / "none.json"))


def test_phonemes_that_are_not_distinct():
    for wrong in (["a", "a"], ["|"], [""]):
        with pytest.raises(PrefalignError, match="not distinct"):
            SongConditions(wrong)


def test_guidance_leads_away_from_nothing_or_from_the_worst():
    told = asked(mode="minor", quality="high")
    assert WORDS.negative(told) == asked(mode="minor", quality="very-low")
    assert WORDS.negative(asked(mode="minor")) == Prompt()
    assert not torch.equal(*(WORDS.encode(one)["ids"] for one in (told, WORDS.negative(told))))
