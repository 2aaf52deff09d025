"""The streams of songs: golden codes, total decoding, array views against decoded songs, hostile input."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.song import Note, Song, Syllable
from prefalign_audio.songs.tokens import SongTokens

C_MAJOR, C_AND_E = 0b000010010001, 0b000000010001
TOKENS = SongTokens(sets=(0, C_MAJOR, C_AND_E), vocal=(60, 72), bass=(36, 48), registers=(64.0, 68.0))


def small_song() -> Song:
    """Two steps of a C major triad, the second sung note a melisma, and a step of rest in which the bass goes on."""
    return Song(
        length=4,
        vocal=(Note(0, 1, 64, begins=True), Note(1, 2, 67)),
        parts={"alto": (Note(0, 2, 64),), "tenor": (Note(0, 2, 55),), "bass": (Note(0, 2, 48), Note(2, 2, 36))},
        lyric=(Syllable("ja", ("j", "a")),),
    )


def test_golden_codes() -> None:
    # Step 2 sounds G and C, which has no class: the fourth. In step 3 only C sounds: no class either.
    expected = [
        [1, 1, 3, 3],
        [2 + 4, 2 + 13 + 7, 1, 0],
        [2 + 12, 1, 2, 1],
    ]
    assert TOKENS.encode(small_song()).tolist() == expected
    assert TOKENS.sizes == (4, 2 + 2 * 13, 2 + 13)


def test_decoding_gives_voice_bass_and_lyric_back() -> None:
    song = small_song()
    decoded = TOKENS.decode(TOKENS.encode(song), song.lyric)
    assert decoded.vocal == song.vocal
    assert decoded.parts["bass"] == song.parts["bass"]
    assert decoded.lyric == song.lyric
    assert decoded.onsets == 1
    # Of C, E and G the voice and the bass have E and C in step 0, G and C in step 1.
    assert decoded.parts["harmony 7"] == (Note(0, 1, 55),)
    assert decoded.parts["harmony 4"] == (Note(1, 1, 64),)
    assert len(decoded.parts) == 3


def test_holds_behind_nothing_or_a_rest_are_rests() -> None:
    song = TOKENS.decode([[0] * 5, [1, 1, 2, 0, 1], [1, 0, 1, 2, 1]])
    assert song.vocal == (Note(2, 1, 60, begins=True),)
    assert song.parts["bass"] == (Note(3, 2, 36),)


def test_the_codes_of_melismas_begin_behind_those_of_syllables() -> None:
    song = TOKENS.decode([[0] * 4, [2, 2 + 12, 2 + 13, 2 + 25], [0] * 4])
    assert song.vocal == (Note(0, 1, 60, True), Note(1, 1, 72, True), Note(2, 1, 60, False), Note(3, 1, 72, False))


def test_nothing_sounds_behind_the_end_whatever_the_first_set_is() -> None:
    tokens = SongTokens(sets=(C_MAJOR,), vocal=(60, 72), bass=(36, 48), registers=(64.0, 68.0))
    heard = tokens.arrays(np.zeros((1, 3, 2), dtype=np.int64), [1]).pitch_classes
    assert heard.sum(axis=2).tolist() == [[3, 0]]


codes = st.integers(1, 12).flatmap(
    lambda steps: st.tuples(
        *(st.lists(st.integers(0, size - 1), min_size=steps, max_size=steps) for size in TOKENS.sizes)
    )
)


@given(st.lists(codes, min_size=1, max_size=5))
def test_decoding_is_total_and_agrees_with_the_arrays(rows: list[tuple[list[int], ...]]) -> None:
    lengths = np.array([len(row[0]) for row in rows])
    batch = np.full((len(rows), 3, lengths.max()), 99)
    for n, row in enumerate(rows):
        batch[n, :, : lengths[n]] = row
    arrays = TOKENS.arrays(batch, lengths)
    for n, row in enumerate(rows):
        song = TOKENS.decode(row)
        again = TOKENS.encode(song)
        assert TOKENS.decode(again).vocal == song.vocal
        for notes, pitches, onsets in (
            (song.vocal, arrays.vocal, arrays.vocal_onsets),
            (song.parts["bass"], arrays.bass, arrays.bass_onsets),
        ):
            sounding = np.full(lengths.max(), -1)
            for note in notes:
                sounding[note.start : note.stop] = note.pitch
            assert pitches[n].tolist() == sounding.tolist()
            assert np.flatnonzero(onsets[n]).tolist() == [note.start for note in notes]
        assert np.flatnonzero(arrays.syllable_onsets[n]).tolist() == [note.start for note in song.vocal if note.begins]
        for step, code in enumerate(row[0]):
            if code < 3:
                heard = sum(1 << p for p in np.flatnonzero(arrays.pitch_classes[n, step]).tolist())
                assert heard == TOKENS.sets[code]
        assert not arrays.pitch_classes[n, lengths[n] :].any()
        assert arrays.steps[n].sum() == lengths[n]


def test_an_unknown_set_shows_what_voice_and_bass_sound() -> None:
    arrays = TOKENS.arrays(np.array([[[3, 3], [2 + 9, 0], [2, 1]]]))
    assert np.flatnonzero(arrays.pitch_classes[0, 0]).tolist() == [0, 9]
    assert np.flatnonzero(arrays.pitch_classes[0, 1]).tolist() == [0]


def test_the_vocabulary_is_what_the_songs_have() -> None:
    tokens = SongTokens.build([small_song()], sets=2)
    assert tokens.sets == (0, C_MAJOR)
    assert (tokens.vocal, tokens.bass) == ((64, 67), (36, 48))
    # One song: 64 for a step and 67 for two.
    assert tokens.registers == pytest.approx((66.0, 66.0))


def test_silence_has_the_first_class_and_no_other() -> None:
    resting = Song(length=9, vocal=(Note(0, 1, 60),), parts={"bass": (Note(1, 1, 40),)})
    assert SongTokens.build([resting]).sets == (0, 1 << 0, 1 << 4)
    assert SongTokens.build([small_song()]).sets[0] == 0


def test_registers_are_thirds_of_the_training_songs() -> None:
    songs = [Song(length=1, vocal=(Note(0, 1, pitch),), parts={"bass": (Note(0, 1, 40),)}) for pitch in range(60, 69)]
    tokens = SongTokens.build(songs)
    assert [tokens.register(song) for song in songs] == ["low"] * 3 + ["middle"] * 3 + ["high"] * 3


def test_saved_and_loaded(tmp_path) -> None:
    TOKENS.save(tmp_path / "tokens.json")
    loaded = SongTokens.load(tmp_path / "tokens.json")
    assert loaded == TOKENS
    assert loaded.fingerprint() == TOKENS.fingerprint()
    other = SongTokens(TOKENS.sets, TOKENS.vocal, (36, 49), TOKENS.registers)
    assert other.fingerprint() != TOKENS.fingerprint()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "other", "edition": 1}'])
def test_another_file_is_no_vocabulary(tmp_path, content: str) -> None:
    (tmp_path / "tokens.json").write_text(content)
    with pytest.raises(SongError, match=r"tokens\.json"):
        SongTokens.load(tmp_path / "tokens.json")


def test_a_damaged_vocabulary_is_refused(tmp_path) -> None:
    TOKENS.save(tmp_path / "tokens.json")
    content = json.loads((tmp_path / "tokens.json").read_text())
    for name, value in {"sets": [0, 0], "vocal": [72, 60], "bass": [1], "registers": [3, 1], "edition": 2}.items():
        (tmp_path / "tokens.json").write_text(json.dumps(content | {name: value}))
        with pytest.raises(SongError):
            SongTokens.load(tmp_path / "tokens.json")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([[0, 0], [0], [0, 0]], "vocal 1"),
        ([[], [], []], "at least a step"),
        ([[0], [0]], r"\(3, T\)"),
        ([[0], [28], [0]], "vocal stream has code 28 at step 0; expected 0 to 27"),
        ([[0, 0, -1], [0] * 3, [0] * 3], "mixed stream has code -1 at step 2"),
        ([[0], [0], [15]], "bass stream has code 15"),
        ([[0.5], [0], [0]], "whole numbers"),
        ([["a"], [0], [0]], "whole numbers"),
        (3, "whole numbers"),
        (None, "whole numbers"),
    ],
)
def test_codes_that_are_none_are_refused(bad, message: str) -> None:
    with pytest.raises(SongError, match=rf"^s7: .*{message}"):
        TOKENS.decode(bad, name="s7")


def test_batches_that_are_none_are_refused() -> None:
    good = np.zeros((2, 3, 4), dtype=np.int64)
    with pytest.raises(SongError, match=r"\(N, 3, T\)"):
        TOKENS.arrays(good[:, :2])
    with pytest.raises(SongError, match="lengths"):
        TOKENS.arrays(good, [4, 5])
    good[1, 2, 3] = 15
    with pytest.raises(SongError, match="song 1: the bass stream has code 15 at step 3"):
        TOKENS.arrays(good)
    assert not TOKENS.arrays(good, [4, 3]).bass_onsets.any()


def test_songs_outside_the_vocabulary_are_refused() -> None:
    song = small_song()
    with pytest.raises(SongError, match="vocal has pitch 73 at step 1"):
        TOKENS.encode(Song(length=2, vocal=(Note(1, 1, 73),)))
    with pytest.raises(SongError, match="steps per quarter"):
        TOKENS.encode(Song(length=2, vocal=song.vocal[:1], steps_per_quarter=4))
    with pytest.raises(SongError, match="without a single note of the bass"):
        SongTokens.build([Song(length=2, vocal=(Note(1, 1, 60),))])
    with pytest.raises(SongError, match="grids"):
        SongTokens.build([])
