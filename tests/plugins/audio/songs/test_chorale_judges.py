"""Two judges of musicality on phrases of chorales: what they hear, and whether they agree on songs of a model.

Slow: about a minute on an idle core. The model is a chain of order one over whole steps of the training phrases, which
writes songs that are right from step to step and lead nowhere.
"""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import spearmanr

from prefalign_audio.builders.precision import threshold_for_precision
from prefalign_audio.songs.chorales import load_chorales
from prefalign_audio.songs.corruptions import CORRUPTIONS
from prefalign_audio.songs.errors import SongError
from prefalign_audio.songs.musicality import accuracies, apart, comparisons, ensure_disjoint, train_musicality
from prefalign_audio.songs.rewards import stacked
from prefalign_audio.songs.tokens import SongTokens

pytest.importorskip("music21")
pytestmark = pytest.mark.slow


def coded(phrases, tokens):
    songs = []
    for phrase in phrases:
        try:
            songs.append(tokens.encode(phrase.song))
        except SongError:
            continue
    return stacked(songs)


def chain(songs, count, rng):
    """Songs of a Markov chain over columns of codes; each as long as a real one."""
    follows, starts = defaultdict(list), []
    for codes, length in zip(*songs, strict=True):
        columns = [tuple(column) for column in codes[:, :length].T.tolist()]
        starts.append(columns[0])
        for one, other in pairwise(columns):
            follows[one].append(other)
    written = []
    for length in rng.choice(songs[1], count):
        song = [starts[rng.integers(len(starts))]]
        while len(song) < length:
            choices = follows.get(song[-1]) or starts
            song.append(choices[rng.integers(len(choices))])
        written.append(np.array(song).T)
    return stacked(written)


def test_judges_of_chorales_hear_what_is_wrong_and_agree_on_a_models_songs(capsys):
    chorales = load_chorales().without_leaks()
    tokens = SongTokens.build(chorales.songs("train"))
    known = [phrase for phrase in chorales.phrases if phrase.split == "train"]
    numbers = {name: place for place, name in enumerate(sorted({phrase.chorale for phrase in known}))}
    halves = [coded([p for p in known if numbers[p.chorale] % 2 == which], tokens) for which in (0, 1)]
    halves[1] = apart(halves[1], halves[0])
    held_out = coded([phrase for phrase in chorales.phrases if phrase.split == "held-out"], tokens)
    rng = np.random.default_rng(0)
    reward, judge = (
        train_musicality(half, tokens, seed=which, architecture=name, sampled=chain(half, 800, rng))
        for which, (half, name) in enumerate(zip(halves, ("convolution", "recurrence"), strict=True))
    )
    ensure_disjoint(reward, judge)
    fresh = chain(halves[0], 600, rng)
    report = {
        name: accuracies(scorer, held_out, np.random.default_rng(1), fresh)
        for name, scorer in (("reward", reward), ("judge", judge))
    }
    agreement = spearmanr(reward.score(*fresh), judge.score(*fresh)).statistic
    trusted = threshold_for_precision(
        *comparisons(reward.score, fresh, reward.tokens, np.random.default_rng(2)), wanted=0.9
    )
    with capsys.disabled():
        print()
        for name, found in report.items():
            print(name, {kind: round(share, 3) for kind, share in found.items()})
        print(f"rank correlation on {len(fresh[1])} songs of the chain: {agreement:.2f}; trusted from {trusted}")
    for found in report.values():
        assert found.keys() == {*CORRUPTIONS, "sampled"}
        assert min(found.values()) > 0.8
    assert agreement > 0.3
