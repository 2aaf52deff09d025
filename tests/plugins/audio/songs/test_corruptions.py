"""Spoiled songs: what each way changes and what it leaves."""

import numpy as np
import pytest

from prefalign.interfaces import PrefalignError
from prefalign_audio.songs.corruptions import CORRUPTIONS, corrupt
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.tokens import SongTokens

TOKENS = SongTokens(sets=(0, 145, 17), vocal=(60, 71), bass=(36, 47), registers=(64.0, 68.0))
WIDTH = 12


def songs(count=200, steps=14, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, size, (count, steps)) for size in TOKENS.sizes], axis=1)
    return codes, rng.integers(1, steps + 1, count)


def spoiled(kind, codes, lengths, seed=1):
    return corrupt(codes, lengths, TOKENS, np.random.default_rng(seed), [kind])[0]


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_every_way_is_seeded_keeps_to_the_vocabulary_and_to_the_songs_end(kind):
    codes, lengths = songs()
    kept = codes.copy()
    result = spoiled(kind, codes, lengths)
    assert (codes == kept).all()
    assert (result == spoiled(kind, codes, lengths)).all()
    TOKENS.arrays(result, lengths)
    behind = np.broadcast_to((np.arange(codes.shape[2]) >= lengths[:, None])[:, None], codes.shape)
    assert (result[behind] == codes[behind]).all()
    # A song of one step or one bar may have nothing to spoil.
    assert (result != codes).any(axis=(1, 2))[lengths > 8].mean() > 0.7


def test_shuffled_bars_moves_whole_half_bars_of_all_streams():
    codes, lengths = songs()
    for before, after, length in zip(codes, spoiled("shuffled_bars", codes, lengths), lengths, strict=True):
        bars = [before[:, i : min(i + 4, length)] for i in range(0, length, 4)]
        left, rest = list(bars), after[:, :length]
        while rest.shape[1]:
            # What begins here is one of the bars that are left, as it was.
            found = next((i for i, bar in enumerate(left) if (rest[:, : bar.shape[1]].tolist() == bar.tolist())), None)
            assert found is not None
            rest = rest[:, left.pop(found).shape[1] :]
        assert not left


def test_broken_rhythm_reorders_the_voice_alone():
    codes, lengths = songs()
    result = spoiled("broken_rhythm", codes, lengths)
    assert (result[:, [0, 2]] == codes[:, [0, 2]]).all()
    for before, after, length in zip(codes, result, lengths, strict=True):
        assert sorted(before[1, :length]) == sorted(after[1, :length])


def test_transposed_bass_moves_every_note_by_one_interval():
    codes, lengths = songs()
    result = spoiled("transposed_bass", codes, lengths)
    assert (result[:, :2] == codes[:, :2]).all()
    shifts = set()
    for before, after, length in zip(codes[:, 2], result[:, 2], lengths, strict=True):
        notes = before[:length] > 1
        assert (after[:length][~notes] == before[:length][~notes]).all()
        moved = set(((after - before)[:length][notes] % WIDTH).tolist())
        assert len(moved) <= 1
        shifts |= moved
    # One to six semitones up or down, modulo twelve: all but none.
    assert shifts == set(range(1, 12))


def test_random_notes_keep_rests_holds_and_syllables():
    codes, lengths = songs(2000)
    result = spoiled("random_notes", codes, lengths)
    inside = np.arange(codes.shape[2]) < lengths[:, None]
    for row in (1, 2):
        silent = codes[:, row] <= 1
        assert (result[:, row][silent] == codes[:, row][silent]).all()
        notes = inside & ~silent
        # A share of 0.225 in the mean, of which one in twelve meets its own pitch.
        share = (result[:, row] != codes[:, row])[notes].mean()
        assert share == pytest.approx(0.225 * 11 / 12, abs=0.02)
    begins = (codes[:, 1] > 1) & (codes[:, 1] < 2 + WIDTH)
    assert ((result[:, 1] > 1) & (result[:, 1] < 2 + WIDTH) == begins).all()


def test_a_foreign_voice_is_anothers():
    # Each song's voice is its own number, so that it can be told.
    count, steps = 20, 6
    codes = np.zeros((count, 3, steps), dtype=int)
    codes[:, 1] = np.arange(2, 2 + count)[:, None]
    lengths = np.full(count, steps)
    lengths[:10] = 3
    result = spoiled("foreign_voice", codes, lengths)
    assert (result[:, [0, 2]] == codes[:, [0, 2]]).all()
    givers = result[:, 1, 0] - 2
    assert sorted(givers) == list(range(count))
    assert (givers != np.arange(count)).all()
    for song in range(10, count):
        # A long song with the voice of a short one rests where that has ended.
        rest = 0 if givers[song] < 10 else givers[song] + 2
        assert (result[song, 1, 3:] == rest).all()


def test_kinds_are_drawn_for_each_song():
    codes, lengths = songs(2000)
    kinds = ["broken_rhythm", "transposed_bass"]
    result, drawn = corrupt(codes, lengths, TOKENS, np.random.default_rng(0), kinds)
    assert drawn.mean() == pytest.approx(0.5, abs=0.05)
    assert (result[drawn == 0][:, 2] == codes[drawn == 0][:, 2]).all()
    assert (result[drawn == 1][:, 1] == codes[drawn == 1][:, 1]).all()


def test_bad_input():
    codes, lengths = songs(4)
    rng = np.random.default_rng(0)
    with pytest.raises(PrefalignError, match="did you mean 'random_notes'"):
        corrupt(codes, lengths, TOKENS, rng, ["random_note"])
    with pytest.raises(SongError, match="one of shuffled_bars"):
        corrupt(codes, lengths, TOKENS, rng, [])
    with pytest.raises(SongError, match=r"expected codes \(N, 3, T\)"):
        corrupt(codes[0], lengths, TOKENS, rng)
