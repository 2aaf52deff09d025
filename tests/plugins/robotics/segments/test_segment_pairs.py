"""A comparison of segments says who is better, and how surely."""

import pytest

from prefalign.interfaces import Pair
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.pairs import SegmentPair, verdict_of

GOOD = {
    "pair_id": "p",
    "episode_index_a": 0,
    "start_a": 2,
    "episode_index_b": 1,
    "start_b": 0,
    "length": 4,
    "label": 1.0,
}


@pytest.mark.parametrize(
    ("label", "verdict"),
    [
        (1.0, Pair(1, 0, 1.0)),
        (0.0, Pair(0, 1, 1.0)),
        (0.75, Pair(1, 0, 0.75)),
        (0.25, Pair(0, 1, 0.75)),
        (0.5, Pair(0, 1, 0.5, tie=True)),
    ],
)
def test_the_label_is_the_chance_that_the_second_is_better(label, verdict):
    assert verdict_of(label) == verdict
    assert SegmentPair(**GOOD | {"label": label}).verdict == verdict


def test_segments_are_episode_start_and_length():
    assert SegmentPair(**GOOD).segments == ((0, 2, 4), (1, 0, 4))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pair_id": ""}, "pair_id"),
        ({"start_b": -1}, "pair 'p': expected start_b of at least 0, got -1"),
        ({"length": 0}, "expected length of at least 1"),
        ({"episode_index_b": 0, "start_b": 2}, "with themselves"),
        ({"label": 1.1}, r"expected a label in \[0, 1\], got 1.1"),
        ({"label": float("nan")}, "got nan"),
        ({"weight": float("inf")}, "weight"),
        ({"weight": -1.0}, "weight"),
        ({"source": "guessed"}, "human, scripted, transferred, got 'guessed'"),
        ({"confidence": float("nan")}, "confidence"),
    ],
)
def test_numbers_out_of_range_are_refused_by_pair(changed, message):
    with pytest.raises(SegmentError, match=message):
        SegmentPair(**GOOD | changed)
