"""What is asked of songs: golden errors by hand, theory, and agreement with a slow count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefalign.interfaces import PrefalignError
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.measures import (
    lyric_errors,
    mean_pitches,
    mode_agreement,
    note_counts,
    phoneme_counts,
    prompt_agreement,
    register_agreement,
    repetition_share,
)
from prefalign_audio.songs.song import Note, Song
from prefalign_audio.songs.tokens import SongTokens

TOKENS = SongTokens(sets=(0, 0b000010010001), vocal=(60, 72), bass=(36, 48), registers=(64.0, 68.0))
#: Gna-de Herr: three phonemes, two, three.
LYRIC = {"syllables": [{"phonemes": ["ɡ", "n", "aː"]}, {"phonemes": ["d", "ə"]}, {"phonemes": ["h", "ɛ", "ʁ"]}]}


def onsets(*counts, steps=6):
    return np.arange(steps) < np.array(counts)[:, None]


def test_golden_lyric_errors():
    errors = lyric_errors(onsets(3, 1, 0, 5), phoneme_counts([LYRIC] * 4))
    # Two syllables missing are d, ə, h, ɛ, ʁ; two too many are two of 8 / 3 phonemes.
    assert errors.deleted.tolist() == [0, 5, 8, 0]
    assert errors.inserted == pytest.approx([0, 0, 0, 2 * 8 / 3])
    assert errors.phoneme_rate == pytest.approx([0, 5 / 8, 1, 2 / 3])
    assert errors.onset_rate == pytest.approx([0, 2 / 3, 1, 2 / 3])


@given(st.integers(1, 8), st.integers(0, 12), st.integers(1, 4))
def test_of_equal_syllables_both_rates_agree(asked, sung, size):
    lyric = {"syllables": [{"phonemes": ["a"] * size}] * asked}
    errors = lyric_errors(onsets(sung, steps=12), phoneme_counts([lyric]))
    assert errors.phoneme_rate[0] == pytest.approx(abs(sung - asked) / asked)
    assert errors.onset_rate[0] == pytest.approx(abs(sung - asked) / asked)
    assert errors.count[0] == pytest.approx(abs(sung - asked) * size)


def test_what_is_not_asked_is_not_judged():
    errors = lyric_errors(onsets(0, 2), phoneme_counts([{}, {"syllables": []}]))
    assert np.isnan(errors.count).all()
    assert np.isnan(errors.phoneme_rate).all()
    assert np.isnan(errors.onset_rate).all()


@pytest.mark.parametrize("syllable", [{"phonemes": []}, {"text": "a"}, {"phonemes": "abc"}, "abc", {"phonemes": 3}])
def test_hostile_syllables(syllable):
    with pytest.raises(SongError, match="syllable 1: expected"):
        phoneme_counts([{"syllables": [LYRIC["syllables"][0], syllable]}])


def test_hostile_arrays():
    with pytest.raises(SongError, match="of the same songs"):
        lyric_errors(onsets(1, 2), [[1]])
    with pytest.raises(SongError, match="inside a lyric"):
        lyric_errors(onsets(1), [[1, 0, 2]])


def test_mode_from_steps_and_from_weights():
    c_major = np.array([2, 0, 1, 0, 2, 1, 0, 2, 0, 1, 0, 1])
    asked = [{"mode": "major"}, {"mode": "minor"}, {}]
    assert mode_agreement([c_major] * 3, asked)[:2].tolist() == [1, 0]
    assert np.isnan(mode_agreement([c_major] * 3, asked)[2])
    # G major and A minor, keys 7 and 21.
    others = [np.roll(c_major, 7), [2, 0, 1, 0, 2, 1, 0, 1, 0, 3, 0, 1]]
    assert mode_agreement(others, [{"mode": "major"}, {"mode": "minor"}]).tolist() == [1, 1]
    assert mode_agreement(others, [{"mode": "minor"}, {"mode": "major"}]).tolist() == [0, 0]
    steps = (np.arange(3)[:, None] < c_major)[None]
    assert mode_agreement(steps, [{"mode": "major"}]).tolist() == [1]
    # What sounds in no key is in no mode.
    assert mode_agreement(np.zeros((2, 12)), [{"mode": "major"}, {"mode": "minor"}]).tolist() == [0, 0]
    with pytest.raises(PrefalignError, match="major"):
        mode_agreement([c_major], [{"mode": "mojor"}])
    with pytest.raises(SongError, match="each of 1 songs"):
        mode_agreement([c_major], asked)


def test_register_thresholds_are_those_of_the_vocabulary():
    pitches = np.array([[60, -1], [64, 64], [67, 68], [68, 68], [-1, -1]])
    songs = [Song(length=1, vocal=(Note(0, 1, pitch, True),)) for pitch in (60, 64, 68)]
    assert [TOKENS.register(song) for song in songs] == ["low", "middle", "high"]
    for name, found in (("low", [1, 0, 0, 0, 0]), ("middle", [0, 1, 1, 0, 0]), ("high", [0, 0, 0, 1, 0])):
        assert register_agreement(pitches, TOKENS.registers, [{"register": name}] * 5).tolist() == found
    assert mean_pitches(pitches)[:4].tolist() == [60, 64, 67.5, 68]


def song():
    """Two sung notes over two of the bass: C and E in one step, G twice in the next, then C again."""
    vocal = (Note(0, 1, 64, True), Note(1, 1, 67), Note(2, 1, 60, True))
    return Song(length=3, vocal=vocal, parts={"bass": (Note(0, 1, 48), Note(1, 2, 43))})


def test_prompt_agreement_is_the_mean_of_what_is_asked():
    arrays = TOKENS.arrays(TOKENS.encode(song())[None].repeat(4, axis=0))
    # G, C, E: C major. The mean of 64, 67 and 60 is 63.67: low.
    asked = [{"mode": "major", "register": "high"}, {"register": "low"}, {"mode": "minor", "register": "high"}, {}]
    assert prompt_agreement(arrays, TOKENS.registers, asked)[:3].tolist() == [0.5, 1, 0]
    assert np.isnan(prompt_agreement(arrays, TOKENS.registers, asked)[3])


def test_notes_are_counted_once_however_long():
    counts = note_counts(TOKENS.arrays(TOKENS.encode(song())[None]))
    assert {pitch: n for pitch, n in enumerate(counts[0]) if n} == {43: 1, 48: 1, 60: 1, 64: 1, 67: 1}


def test_repetition():
    codes = np.array([[[1, 2, 1, 2, 1, 2]] * 3, [[1, 2, 3, 4, 5, 6]] * 3, [[0, 0, 0, 0, 0, 0]] * 3])
    # Of the five windows of two steps 12, 21, 12, 21, 12 three stood before; of a song of one step there is none.
    shares = repetition_share(codes, [6, 6, 1], width=2)
    assert shares[:2].tolist() == [3 / 5, 0]
    assert np.isnan(shares[2])
    assert np.isnan(repetition_share(codes, [6, 6, 6], width=7)).all()
    # A window repeats only if all streams do; what is behind the end does not count.
    codes[0, 1, 2:] = 7
    assert repetition_share(codes, [4, 6, 6], width=2)[0] == 0


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_repetition_agrees_with_a_set_of_windows(seed, width):
    rng = np.random.default_rng(seed)
    codes, lengths = rng.integers(0, 2, (3, 2, 9)), rng.integers(1, 10, 3)
    for row, length, share in zip(codes, lengths, repetition_share(codes, lengths, width), strict=True):
        windows = [row[:, i : i + width].tobytes() for i in range(length - width + 1)]
        if windows:
            assert share == pytest.approx(1 - len(set(windows)) / len(windows))
        else:
            assert np.isnan(share)
