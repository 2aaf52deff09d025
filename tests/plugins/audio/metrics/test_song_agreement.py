"""Metrics of songs: by hand, in batches as at once, and what does not count."""

import math

import numpy as np
import pytest
import torch

from prefalign.interfaces import PrefalignError
from prefalign_audio.metrics.song_agreement import KeyAgreement, LyricError, RegisterAgreement, ScaleShare
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.tokens import SongTokens

TOKENS = SongTokens(sets=(0, 0b000010010001, 0b001000010001), vocal=(60, 72), bass=(36, 48), registers=(64.0, 68.0))
ALL = (LyricError, KeyAgreement, RegisterAgreement, ScaleShare)
LYRIC = [{"phonemes": ["d", "u", "n"]}, {"phonemes": ["a"]}]
ASKED = [{"syllables": LYRIC, "mode": "major", "register": "low"}, {"mode": "major"}, {"register": "high"}]
# C and E over C; a syllable on A over A minor; C over C with F sharp in the voice, and no syllable of it.
SONGS = np.array(
    [
        [[1, 1, 1, 1], [2, 1, 6, 1], [2, 1, 1, 1]],
        [[2, 2, 0, 0], [2 + 9, 1, 0, 0], [2 + 9, 1, 0, 0]],
        [[1, 1, 1, 1], [2 + 13 + 6, 1, 2 + 13 + 6, 1], [2, 1, 1, 1]],
    ]
)
LENGTHS = np.array([4, 2, 4])


def updated(metric, *chunks):
    for chunk in chunks:
        metric.update(torch.from_numpy(SONGS[chunk]), torch.from_numpy(LENGTHS[chunk]), ASKED[chunk])
    return {name: float(value) for name, value in metric.compute().items()}


@pytest.mark.parametrize("chunks", [[slice(0, 3)], [slice(0, 1), slice(1, 3)], [slice(1, 3), slice(0, 1)]])
def test_by_hand_whatever_the_batches(chunks):
    # Only the first song has a lyric, and sings it; of the two whose mode is asked, the second is in the other one.
    assert updated(LyricError(TOKENS), *chunks) == {"lyric_phoneme_error": 0, "lyric_onset_error": 0, "songs": 3}
    assert updated(KeyAgreement(TOKENS), *chunks) == {"key_agreement": 0.5, "songs": 3}
    # C and E have the mean 62: low. F sharp, 66, is middle and not high.
    assert updated(RegisterAgreement(TOKENS), *chunks) == {"register_agreement": 0.5, "songs": 3}
    found = updated(ScaleShare(TOKENS), *chunks)
    # All notes of the first two, one of three of the last. Most common: one of three, of two, two of three.
    assert found == pytest.approx({"scale_share": 7 / 9, "common_pitch_share": 0.5, "songs": 3})


def test_missing_and_added_syllables():
    metric = LyricError(TOKENS)
    songs = torch.from_numpy(SONGS[[1, 0]])
    metric.update(songs, torch.tensor([2, 4]), [{"syllables": LYRIC}, {"syllables": LYRIC[:1]}])
    # The second syllable missing is a phoneme of four; one too many is 3 of 3.
    assert float(metric.compute()["lyric_phoneme_error"]) == pytest.approx((1 / 4 + 1) / 2)
    assert float(metric.compute()["lyric_onset_error"]) == pytest.approx((1 / 2 + 1) / 2)


@pytest.mark.parametrize("kind", ALL)
def test_without_songs_it_is_not_a_number(kind):
    metric = kind(TOKENS)
    metric.update(torch.zeros((0, 3, 4), dtype=torch.long), torch.zeros(0, dtype=torch.long), [])
    found = metric.compute()
    assert all(math.isnan(float(found[name])) for name in kind.names)
    assert int(found["songs"]) == 0


def test_bad_input(tmp_path):
    codes, lengths = torch.from_numpy(SONGS), torch.from_numpy(LENGTHS)
    with pytest.raises(SongError, match="each of 3 songs"):
        KeyAgreement(TOKENS).update(codes, lengths, ASKED[:2])
    with pytest.raises(SongError, match="of the same songs"):
        LyricError(TOKENS).update(codes, lengths, ASKED[:2])
    with pytest.raises(PrefalignError, match="did you mean 'major'"):
        KeyAgreement(TOKENS).update(codes[:1], lengths[:1], [{"mode": "majr"}])
    with pytest.raises(SongError, match="the mixed stream has code 90"):
        ScaleShare(TOKENS).update(codes[:1].clamp(min=90), lengths[:1], [{}])
    TOKENS.save(tmp_path / "tokens.json")
    assert LyricError(str(tmp_path / "tokens.json")).tokens == TOKENS
