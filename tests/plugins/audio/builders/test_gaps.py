"""Pairs by gaps: exact limits, every pair of a record, error counts with their sign."""

import pytest

from prefalign.interfaces import PrefalignError, RecordError
from prefalign_audio.builders.gaps import ErrorGap, GapPairs


def test_every_pair_that_is_further_apart(candidates, outcome):
    record = candidates({"s": 1.0}, {"s": 3.0}, {"s": 0.0}, {"t": 9.0}, {"s": 2.5})
    pairs, dropped = outcome(GapPairs("s", 1.0), record)
    # 3 over 1 and 0; 2.5 over 1 and 0; 1 over 0 is exactly 1 apart, and 3 over 2.5 is less.
    assert pairs == {"r/1-0": (1, 0), "r/1-2": (1, 2), "r/4-0": (4, 0), "r/4-2": (4, 2)}
    assert dropped == {"the scores are not apart by more than 1.0": 2}


def test_fewer_errors_win_by_more_than_the_gap(candidates, outcome):
    record = candidates({"e": -41.0}, {"e": 0.0}, {"e": -1.0}, {"e": -40.0})
    assert outcome(ErrorGap("e"), record)[0] == {"r/1-0": (1, 0)}
    assert set(outcome(ErrorGap("e", gap=39.5), record)[0].values()) == {(1, 0), (2, 0), (1, 3)}


def test_equal_scores_are_no_pair_and_too_few_are_counted(candidates, outcome):
    pairs, dropped = outcome(GapPairs("s", 0.0), candidates({"s": 1.0}, {"s": 1.0}), candidates({"s": 1.0}, {}))
    assert pairs == {}
    assert dropped == {"the scores are not apart by more than 0.0": 1, "fewer than two candidates have a score 's'": 1}


def test_identical_songs_are_no_pair(candidates, outcome):
    pairs, dropped = outcome(GapPairs("s", 0.0), candidates({"s": 1.0}, {"s": 2.0}, same=True))
    assert (pairs, dropped) == ({}, {"winner and loser are identical": 1})


def test_a_count_above_zero_is_refused(candidates, outcome):
    with pytest.raises(RecordError, match="minus a number of errors") as caught:
        outcome(ErrorGap("e"), candidates({"e": -50.0}, {"e": 3.0}))
    assert caught.value.field == "responses[1].scores.e"
    assert caught.value.record_id == "r"


@pytest.mark.parametrize("gap", [-1.0, float("nan"), float("inf")])
def test_bad_gaps(gap):
    with pytest.raises(PrefalignError, match="finite gap"):
        GapPairs("s", gap)


def test_settings():
    assert ErrorGap("e").settings() == {"score": "e", "gap": 40}
