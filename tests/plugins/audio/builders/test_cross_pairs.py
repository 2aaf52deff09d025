"""Cross pairs: who satisfies a group, which pair is taken, and what is left out."""

import pytest

from prefalign.interfaces import PrefalignError
from prefalign_audio.builders.cross_pairs import CrossPairs

LIMITS = {"m": 0.0, "l": -0.2, "s": 0.5, "q": 0.5}
GROUPS = [["m", "l"], ["s", "q"]]


def both(*pairs):
    return [{"m": musicality, "l": lyric} for musicality, lyric in pairs]


def test_winner_satisfies_all_and_loser_fails_one(candidates, outcome):
    # 0 and 3 satisfy both; 1 fails the lyric, 2 both. Of the winners 3 ranks higher, of the losers 2 lower.
    record = candidates(*both((1.0, -0.1), (2.0, -0.9), (-1.0, -0.8), (1.5, 0.0)))
    assert outcome(CrossPairs(GROUPS[:1], LIMITS), record) == ({"r/m+l": (3, 2)}, {})


def test_failing_one_is_enough_to_lose(candidates, outcome):
    record = candidates(*both((1.0, -0.1), (5.0, -0.2)))
    assert outcome(CrossPairs(GROUPS[:1], LIMITS), record)[0] == {"r/m+l": (0, 1)}


def test_each_group_makes_its_own_pair(candidates, outcome):
    record = candidates({"m": 1.0, "l": 0.0, "s": 0.1, "q": 0.9}, {"m": -1.0, "l": 0.0, "s": 0.9, "q": 0.9})
    assert outcome(CrossPairs(GROUPS, LIMITS), record)[0] == {"r/m+l": (0, 1), "r/s+q": (1, 0)}


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (both((1.0, -0.9), (-1.0, 0.0)), "m+l: no candidate satisfies all"),
        (both((1.0, 0.0), (2.0, 0.0)), "m+l: every candidate satisfies all"),
        ([{"m": 1.0, "l": 0.0}, {"m": 1.0}], "m+l: fewer than two candidates have all scores"),
    ],
)
def test_what_is_left_out(candidates, outcome, scores, reason):
    assert outcome(CrossPairs(GROUPS[:1], LIMITS), candidates(*scores)) == ({}, {reason: 1})


def test_identical_songs(candidates, outcome):
    record = candidates(*both((1.0, 0.0), (-1.0, 0.0)), same=True)
    assert outcome(CrossPairs(GROUPS[:1], LIMITS), record) == ({}, {"m+l: winner and loser are identical": 1})


@pytest.mark.parametrize(
    ("groups", "limits", "message"),
    [
        ([], LIMITS, "one at least"),
        ([["m"]], LIMITS, "two different scores"),
        ([["m", "m"]], LIMITS, "two different scores"),
        (["ml"], LIMITS, "two different scores"),
        ([["m", "x"]], LIMITS, "x: expected a finite limit, got None"),
        ([["m", "l"]], {"m": 0.0, "l": float("inf")}, "l: expected a finite limit"),
    ],
)
def test_bad_settings(groups, limits, message):
    with pytest.raises(PrefalignError, match=message):
        CrossPairs(groups, limits)
