"""Levels of quality: ranks of scores, and what a prompt asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefalign.interfaces import PrefalignError, Prompt
from prefalign_audio.streams.conditions.quality import QUALITY, asked_quality, levels, with_quality


def test_equal_fifths_by_rank():
    scores = [9.0, 1.0, 3.0, 2.0, 8.0, 4.0, 7.0, 6.0, 5.0, 0.0]
    expected = {score: QUALITY[int(score) // 2] for score in scores}
    assert levels(scores) == [expected[score] for score in scores]


def test_equal_scores_share_the_lower_level():
    assert levels([0, 0, 0, 0, 1]) == ["very-low"] * 4 + ["very-high"]
    assert levels([2.0] * 7) == ["very-low"] * 7


@given(st.lists(st.floats(-9, 9), min_size=5, max_size=30))
def test_a_higher_score_has_no_lower_level(scores):
    found = [QUALITY.index(level) for level in levels(scores)]
    for one, mine in zip(scores, found, strict=True):
        for other, theirs in zip(scores, found, strict=True):
            assert one != other or mine == theirs
            assert one <= other or mine >= theirs


def test_scores_that_have_no_levels():
    with pytest.raises(PrefalignError, match="at least 5 scores"):
        levels([1.0] * 4)
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(PrefalignError, match="finite"):
            levels([1.0] * 5 + [wrong])


def test_a_prompt_is_told_its_level():
    prompt = Prompt(conditions={"mode": "minor"})
    told = with_quality(prompt, "high")
    assert told.conditions == {"mode": "minor", "quality": "high"}
    assert prompt.conditions == {"mode": "minor"}
    assert (asked_quality(prompt), asked_quality(told)) == (None, "high")
    with pytest.raises(PrefalignError, match="unknown quality 'best'"):
        asked_quality(with_quality(prompt, "best"))
