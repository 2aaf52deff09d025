"""Segments and comparisons refuse what cannot be used."""

import numpy as np
import pytest

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Comparisons, Segments, all_pairs, frame_groups


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_a_value_that_is_not_finite_is_named():
    observations = numbers(3, 4, 2)
    observations[1, 2, 0] = np.nan
    with pytest.raises(SegmentError, match="can: observations of segment 1 are not finite: number 0 at step 2 is nan"):
        Segments(observations, numbers(3, 4, 1), "can")


@pytest.mark.parametrize(
    ("observations", "actions", "complaint"),
    [
        (numbers(3, 4, 2), numbers(3, 5, 1), "as many segments and steps"),
        (numbers(3, 4), numbers(3, 4, 1), r"expected observations \(segments, steps, numbers\)"),
        (numbers(3, 4, 2).astype(np.float64), numbers(3, 4, 1), "float32"),
        (numbers(1, 4, 2), numbers(1, 4, 1), "at least two segments"),
        (numbers(0, 4, 2), numbers(0, 4, 1), "at least two segments"),
        (numbers(3, 4, 0), numbers(3, 4, 1), "expected observations"),
    ],
)
def test_other_shapes_are_refused(observations, actions, complaint):
    with pytest.raises(SegmentError, match=complaint):
        Segments(observations, actions)


@pytest.mark.parametrize(
    ("pairs", "labels", "complaint"),
    [
        ([[0, 1]], [1.5], "pair 0 has 1.5"),
        ([[0, 1], [1, 2]], [1.0, np.nan], "pair 1 has nan"),
        ([[0, 1]], [1.0, 0.0], "a label for each"),
        ([[2, 2]], [1.0], "compares segment 2 with itself"),
    ],
)
def test_labels_that_are_none_are_refused(pairs, labels, complaint):
    with pytest.raises(SegmentError, match=complaint):
        Comparisons(np.array(pairs), np.array(labels))


def test_pairs_of_segments_that_are_not_there_are_refused():
    segments = Segments(numbers(3, 4, 2), numbers(3, 4, 1), "can")
    with pytest.raises(SegmentError, match="can: pairs name segments up to 3 of 3"):
        Comparisons(np.array([[0, 3]]), np.array([1.0])).within(segments)


def test_every_pair_once():
    assert all_pairs(3).tolist() == [[0, 1], [0, 2], [1, 2]]


def test_pairs_that_share_a_frame_through_others_are_one_group():
    observations = numbers(8, 4, 2)
    observations[2, 3] = observations[0, 0]  # pair 1 shares a frame with pair 0
    observations[5, 1] = observations[3, 2]  # pair 2 shares one with pair 1, and so with pair 0
    segments = Segments(observations, numbers(8, 4, 1))
    groups = frame_groups(segments, np.array([[0, 1], [2, 3], [4, 5], [6, 7]]))
    assert groups.tolist() in ([0, 0, 0, 1], [1, 1, 1, 0])
