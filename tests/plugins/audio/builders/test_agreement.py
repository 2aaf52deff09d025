"""Unanimous judges, and HeartMuLa's limits at their edges."""

import pytest

from prefalign.interfaces import PrefalignError
from prefalign_audio.builders.agreement import (
    UnanimousBestWorst,
    heartmula_lyric,
    heartmula_quality,
    heartmula_similarity,
)


def quality(*pairs):
    return [{"songeval": songeval, "audiobox": audiobox} for songeval, audiobox in pairs]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (quality((3.0, 6.0), (4.0, 8.0), (2.0, 5.0), (3.5, 5.5)), (1, 2)),
        (quality((3.0, 6.0), (4.0, 7.0), (2.0, 5.0), (3.5, 8.0)), "the judges do not agree on the best"),
        (quality((3.0, 4.0), (4.0, 8.0), (2.0, 5.0)), "the judges do not agree on the worst"),
        (quality((2.5, 8.0), (2.0, 5.0)), "songeval: the winner is not ahead by more than 0.5"),
        (quality((4.0, 5.75), (2.0, 5.0)), "audiobox: the winner is not ahead by more than 0.8"),
        (quality((3.0, 5.0), (3.0, 5.0)), "songeval: the winner is not ahead by more than 0.5"),
        ([*quality((3.0, 5.0)), {"songeval": 1.0}], "fewer than two candidates have all scores"),
    ],
)
def test_quality_needs_both_judges(candidates, outcome, scores, expected):
    pairs, dropped = outcome(heartmula_quality(), candidates(*scores))
    assert (pairs, dropped) == (({"r": expected}, {}) if isinstance(expected, tuple) else ({}, {expected: 1}))


def test_of_equal_candidates_the_first_counts(candidates, outcome):
    scores = quality((2.0, 5.0), (4.0, 8.0), (4.0, 8.0), (2.0, 5.0))
    assert outcome(heartmula_quality(), candidates(*scores))[0] == {"r": (1, 0)}


def test_candidates_without_a_score_are_passed_over(candidates, outcome):
    scores = [{"songeval": 9.0}, *quality((4.0, 8.0), (2.0, 5.0))]
    assert outcome(heartmula_quality(), candidates(*scores))[0] == {"r": (1, 2)}


def test_identical_songs(candidates, outcome):
    record = candidates(*quality((4.0, 8.0), (2.0, 5.0)), same=True)
    assert outcome(heartmula_quality(), record) == ({}, {"winner and loser are identical": 1})


def test_similarity_and_lyric_limits(candidates, outcome):
    low, near = candidates({"muq": 0.29}, {"muq": 0.1}), candidates({"muq": 0.5}, {"muq": 0.4})
    good = candidates({"muq": 0.2}, {"muq": 0.33}, {"muq": 0.25})
    assert outcome(heartmula_similarity(), good)[0] == {"r": (1, 0)}
    assert not outcome(heartmula_similarity(), low)[0]
    assert not outcome(heartmula_similarity(), near)[0]
    rates = [{"phoneme_rate": -rate} for rate in (0.3, 0.05, 0.16)]
    assert outcome(heartmula_lyric(), candidates(*rates))[0] == {"r": (1, 0)}
    assert not outcome(heartmula_lyric(), candidates({"phoneme_rate": -0.05}, {"phoneme_rate": -0.14}))[0]


def test_bad_settings():
    with pytest.raises(PrefalignError, match="two judges"):
        UnanimousBestWorst({"a": 0.1})
    with pytest.raises(PrefalignError, match="b: expected a finite gap"):
        UnanimousBestWorst({"a": 0.1, "b": -1})
    assert heartmula_quality().settings() == {"gaps": {"songeval": 0.5, "audiobox": 0.8}}
