"""Pairs are chosen where asking tells most."""

import numpy as np
import pytest

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import all_pairs
from prefalign_robotics.teacher.selection import (
    across_clusters,
    clusters_of,
    disagreement,
    entropy,
    largest,
    random_pairs,
)


@pytest.mark.parametrize("segments", [2, 3, 7, 40])
def test_random_pairs_are_different_and_cover_all(segments):
    expected = {tuple(pair) for pair in all_pairs(segments)}
    pairs = random_pairs(segments, len(expected), seed=1)
    assert {tuple(sorted(pair)) for pair in pairs} == expected
    with pytest.raises(SegmentError, match=f"make {len(expected)} pairs"):
        random_pairs(segments, len(expected) + 1)


def test_random_pairs_are_uniform_and_in_either_order():
    drawn = np.concatenate([random_pairs(5, 3, seed) for seed in range(4_000)])
    counts = np.zeros((5, 5))
    np.add.at(counts, tuple(drawn.T), 1)
    assert (np.diag(counts) == 0).all()
    off = counts[~np.eye(5, dtype=bool)]
    assert off == pytest.approx(np.full(20, 600), rel=0.2)


def test_random_pairs_of_very_many_segments():
    pairs = random_pairs(3_000_000, 1_000)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert 0 <= pairs.min() <= pairs.max() < 3_000_000


def test_disagreement_and_entropy_by_hand():
    probabilities = np.array([[0.5, 0.0, 1.0, 0.9, 0.5], [0.5, 1.0, 1.0, 0.9, 1.0]])
    assert disagreement(probabilities) == pytest.approx([0, 0.5, 0, 0, 0.25])
    doubt = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    # Members that contradict one another are each sure: entropy is of what each doubts.
    assert entropy(probabilities) == pytest.approx([np.log(2), 0, 0, doubt, np.log(2) / 2])
    assert largest(entropy(probabilities), 3).tolist() == [0, 4, 3]
    assert largest(disagreement(probabilities), 3).tolist() == [1, 4, 0]


def test_segments_of_two_heaps_are_told_apart():
    generator = np.random.default_rng(0)
    vectors = np.concatenate([generator.normal(0, 1, (30, 4)), generator.normal(6, 1, (10, 4))])
    for seed in range(5):
        home = clusters_of(vectors, 2, seed)
        assert len({*home[:30]}) == len({*home[30:]}) == 1
        pairs = all_pairs(40)
        expected = (pairs[:, 0] < 30) & (pairs[:, 1] >= 30)
        assert np.array_equal(across_clusters(vectors, pairs, seed=seed), expected)


def test_the_tightest_of_many_starts_is_kept():
    vectors = np.random.default_rng(0).uniform(size=(200, 2))

    def spread(starts):
        home = clusters_of(vectors, 6, seed=0, starts=starts)
        return sum(((vectors[home == k] - vectors[home == k].mean(0)) ** 2).sum() for k in range(6))

    spreads = [spread(starts) for starts in range(1, 13)]
    assert (np.diff(spreads) <= 1e-9).all()
    assert spreads[-1] < spreads[0] - 1e-3


def test_what_cannot_be_chosen_from_is_refused():
    with pytest.raises(SegmentError, match="2 or more members"):
        disagreement(np.full((1, 3), 0.5))
    with pytest.raises(SegmentError, match=r"probabilities in \[0, 1\]"):
        entropy(np.array([[0.5, np.nan]]))
    with pytest.raises(SegmentError, match="score 1 is not a number"):
        largest(np.array([0.5, np.nan]), 1)
    with pytest.raises(SegmentError, match="at least 3 scores"):
        largest(np.array([0.5, 0.1]), 3)
    with pytest.raises(SegmentError, match="1 different vectors cannot make 2 clusters"):
        clusters_of(np.ones((5, 2)), 2)
    with pytest.raises(SegmentError, match="finite vectors"):
        clusters_of(np.full((5, 2), np.nan), 2)
