"""The scorer and its training: what it cannot see, what it learns, and who has learnt from what."""

import dataclasses

import numpy as np
import pytest
import torch

from prefalign.interfaces import PrefalignError
from prefalign_audio.songs.corruptions import CORRUPTIONS, corrupt
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.musicality import accuracies, apart, comparisons, digests, ensure_disjoint, train_musicality
from prefalign_audio.songs.scorer import ARCHITECTURES, NotesConvolution, SongScorer
from prefalign_audio.songs.tokens import SongTokens

TOKENS = SongTokens(
    sets=(0, *(0b10010001 << shift for shift in range(5))), vocal=(60, 72), bass=(36, 48), registers=(64.0, 68.0)
)


def tunes(count, seed, steps=16):
    """Songs that go up and down a triad, each on its own root, with a bass on the root every four steps."""
    rng = np.random.default_rng(seed)
    codes = np.ones((count, 3, steps), dtype=np.int64)
    for song in codes:
        root = rng.integers(0, 5)
        song[0] = root + 1
        song[1, ::2] = 2 + root + np.array([0, 4, 7, 4])[(np.arange(steps // 2) + rng.integers(4)) % 4]
        song[2, ::4] = 2 + root
    return codes, rng.integers(steps // 2, steps + 1, count)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_score_depends_on_its_song_alone(architecture):
    torch.manual_seed(0)
    scorer = SongScorer(TOKENS, architecture).eval()
    codes, lengths = tunes(12, 0)
    scores = scorer.score(codes, lengths)
    assert np.ptp(scores) > 0
    # Neither what stands behind its end, be it no code at all, nor its neighbours, nor the width of the batch matter.
    junk = codes.copy()
    junk[(np.arange(16) >= lengths[:, None])[:, None].repeat(3, axis=1)] = 999
    assert scorer.score(junk, lengths) == pytest.approx(scores, abs=1e-5)
    for song, length, score in zip(codes, lengths, scores, strict=True):
        alone = scorer.score(song[None, :, :length], np.array([length]))
        assert alone == pytest.approx([score], abs=1e-5)


def test_what_the_convolution_hears_is_what_sounds():
    codes, _ = tunes(6, 0)
    codes[0, 1, :5] = [1, 2 + 13 + 4, 1, 0, 1]
    torch.manual_seed(0)
    # The lowest pitch is a D, so that a pitch class is not what the code counts.
    tokens = dataclasses.replace(TOKENS, vocal=(62, 74))
    network = NotesConvolution(tokens)
    network.layers = torch.nn.ModuleList()
    steps = torch.ones(6, 16, dtype=torch.bool)
    heard = network(torch.from_numpy(codes), steps)
    arrays = tokens.arrays(codes)
    sounding = heard[..., 12:24].argmax(-1).numpy()
    rests = heard[..., 12:24].sum(-1).numpy() == 0
    assert (rests == (arrays.vocal < 0)).all()
    assert (sounding == np.where(rests, 0, arrays.vocal % 12)).all()
    assert (heard[..., :12].numpy() == (np.array([*TOKENS.sets, 0])[codes[:, 0], None] >> np.arange(12) & 1)).all()
    onset, goes_on, sounds, height = heard[..., 24:28].unbind(-1)
    assert (onset.numpy() == arrays.vocal_onsets).all()
    assert (goes_on.numpy() == (arrays.vocal_onsets & ~arrays.syllable_onsets)).all()
    assert (sounds.numpy() == (arrays.vocal >= 0)).all()
    assert height.numpy() == pytest.approx(np.where(rests, 0, (arrays.vocal - 62) / 13))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_learns_to_tell_tunes_from_spoiled_and_sampled_ones(architecture):
    noise = np.stack([np.random.default_rng(1).integers(0, size, (60, 12)) for size in TOKENS.sizes], axis=1)
    sampled = noise, np.full(60, 12)
    scorer = train_musicality(
        tunes(200, 0), TOKENS, seed=3, architecture=architecture, sampled=sampled, steps=70, batch=48
    )
    assert scorer.accuracy.keys() == {*CORRUPTIONS, "sampled"}
    found = accuracies(scorer, tunes(100, 9), np.random.default_rng(0), sampled)
    assert min(found[kind] for kind in ("transposed_bass", "random_notes", "sampled")) > 0.9
    # Every tenth song tests only.
    assert digests(tuple(part[9::10] for part in sampled)).isdisjoint(scorer.trained_on)
    assert digests(tuple(part[:9] for part in sampled)) <= scorer.trained_on


def test_sampled_songs_are_learnt_from():
    # They are among the real ones, those on the last root, so that no corruption tells them.
    real = tunes(200, 0)
    last = real[0][:, 0, 0] == 5
    sampled = real[0][last], real[1][last]
    rights = [
        accuracies(
            train_musicality(real, TOKENS, seed=0, sampled=given, steps=40, batch=32),
            tunes(100, 7),
            np.random.default_rng(0),
            sampled,
        )["sampled"]
        for given in (sampled, None)
    ]
    # Four of five real songs are on another root; without having met them as worse it is a matter of chance.
    assert rights[0] > 0.75
    assert rights[1] < 0.7


def test_the_seed_decides_everything_and_what_is_saved_is_what_was_trained(tmp_path):
    trained = []
    for elsewhere, seed in enumerate((0, 0, 1)):
        torch.manual_seed(elsewhere)
        trained.append(train_musicality(tunes(40, 0), TOKENS, seed=seed, steps=3, batch=8))
    scorer, again, other = trained
    scorer.save_pretrained(tmp_path / "saved")
    loaded = SongScorer.from_pretrained(tmp_path / "saved")
    for same in (again, loaded):
        assert all(torch.equal(a, b) for a, b in zip(scorer.parameters(), same.parameters(), strict=True))
        assert (same.accuracy, same.trained_on) == (scorer.accuracy, scorer.trained_on)
    assert not torch.equal(scorer.head[0].weight, other.head[0].weight)
    assert not loaded.training


def test_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_musicality(tunes(20, 0), TOKENS, seed=0, steps=1)
    assert torch.equal(torch.rand(3), expected)


def test_an_untrained_scorer_is_right_half_of_the_time_when_it_says_one_number():
    scorer = SongScorer(TOKENS)
    torch.nn.init.zeros_(scorer.head[2].weight)
    found = accuracies(scorer, tunes(30, 0), np.random.default_rng(0))
    assert set(found.values()) == {0.5}


def test_songs_are_the_same_up_to_their_end():
    codes, lengths = tunes(4, 0)
    longer = np.pad(codes, ((0, 0), (0, 0), (0, 3)), constant_values=2)
    assert digests((codes, lengths)) == digests((longer, lengths))
    changed = codes.copy()
    changed[:, 0, 0] += 1
    assert digests((changed, lengths)).isdisjoint(digests((codes, lengths)))


def test_two_judges_share_no_song():
    first, second = tunes(60, 0), tunes(60, 1)
    mixed = tuple(np.concatenate([a, b]) for a, b in zip(second, first, strict=True))
    reward, judge, sharing = (
        train_musicality(s, TOKENS, seed=0, steps=1) for s in (first, apart(second, first), mixed)
    )
    ensure_disjoint(reward, judge)
    with pytest.raises(SongError, match="have both learnt from"):
        ensure_disjoint(reward, sharing)
    with pytest.raises(SongError, match="does not know"):
        ensure_disjoint(reward, SongScorer(TOKENS))
    kept, lengths = apart(mixed, first)
    assert digests((kept, lengths)) == digests(second) - digests(first)


def test_bad_input(tmp_path):
    codes, lengths = tunes(20, 0)
    with pytest.raises(PrefalignError, match="did you mean 'convolution'"):
        SongScorer(TOKENS, "convolutions")
    with pytest.raises(SongError, match="19 real songs; expected 20"):
        train_musicality((codes[:19], lengths[:19]), TOKENS, seed=0)
    with pytest.raises(SongError, match="3 sampled songs"):
        train_musicality((codes, lengths), TOKENS, seed=0, sampled=(codes[:3], lengths[:3]))
    with pytest.raises(SongError, match="the vocal stream has code 99"):
        train_musicality((np.where(codes == 13, 99, codes), lengths), TOKENS, seed=0)
    with pytest.raises(SongError, match="song 1 has no steps"):
        SongScorer(TOKENS).score(codes[:2], np.array([3, 0]))
    with pytest.raises(PrefalignError, match="no judge of songs"):
        SongScorer.from_pretrained(tmp_path)


def test_comparisons_are_those_of_each_song_with_itself_spoiled():
    scorer = train_musicality(tunes(100, 0), TOKENS, seed=0, steps=20, batch=16)
    songs = tunes(50, 4)
    gaps, right = comparisons(scorer.score, songs, scorer.tokens, np.random.default_rng(0))
    spoiled, _ = corrupt(*songs, TOKENS, np.random.default_rng(0))
    changed = (spoiled != songs[0]).any(axis=(1, 2))
    good, bad = scorer.score(*songs)[changed], scorer.score(spoiled, songs[1])[changed]
    assert gaps == pytest.approx(np.abs(good - bad))
    assert (right == (good > bad)).all()
    assert right.dtype == bool
