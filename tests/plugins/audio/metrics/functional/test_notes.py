"""Matching of notes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign_audio.metrics.functional.notes import NoteCounts, match_notes
from prefalign_audio.songs.timed import TimedNotes

NOTES = st.lists(
    # Pitches 0.3 apart: none differ by 0.5, which mir_eval's way over frequencies rounds to either side.
    st.tuples(st.integers(0, 12).map(lambda n: n * 0.03), st.integers(0, 8).map(lambda n: 60 + 0.3 * n)),
    max_size=7,
)


def notes(rows: list[tuple[float, float]]) -> TimedNotes:
    table = np.array(rows, dtype=np.float64).reshape(-1, 2)
    return TimedNotes(table[:, 0], table[:, 0] + 0.2, table[:, 1])


@pytest.mark.parametrize(
    ("asked", "heard", "matched"),
    [
        ([(0.0, 60)], [(0.05, 60)], 1),  # inclusive
        ([(1.0, 60)], [(1.05, 60)], 1),  # also where floats make 0.0500000000000000444 of it
        ([(0.0, 60)], [(0.051, 60)], 0),
        ([(0.0, 60)], [(0.0, 60.5)], 1),
        ([(0.0, 60)], [(0.0, 60.51)], 0),
        ([(0.0, 60)], [(0.0, 72)], 0),  # an octave is another note
        ([(0.0, 60)], [(0.0, 60), (0.01, 60)], 1),  # each in one pair only
        ([(0.0, 60), (0.04, 60)], [(0.05, 60), (-0.04, 60)], 2),  # the nearest pair first would leave the others over
        ([], [(0.0, 60)], 0),
        ([(0.0, 60)], [], 0),
    ],
)
def test_by_hand(asked: list[tuple[float, float]], heard: list[tuple[float, float]], matched: int) -> None:
    assert match_notes(notes(asked), notes(heard)) == NoteCounts(matched, len(asked), len(heard))


def most_pairs(pairs: np.ndarray) -> int:
    """By trying all."""
    if not len(pairs):
        return 0
    best = most_pairs(pairs[1:])
    for column in np.flatnonzero(pairs[0]):
        rest = pairs[1:].copy()
        rest[:, column] = False
        best = max(best, 1 + most_pairs(rest))
    return best


@settings(deadline=None)
@given(NOTES, NOTES)
def test_against_all_ways(asked: list[tuple[float, float]], heard: list[tuple[float, float]]) -> None:
    one, two = notes(asked), notes(heard)
    near = abs(one.onsets[:, None] - two.onsets) < 0.0501
    alike = abs(one.pitches[:, None] - two.pitches) < 0.5001
    assert match_notes(one, two).matched == most_pairs(near & alike)


@pytest.mark.oracle
@settings(deadline=None)
@given(NOTES, NOTES)
def test_against_mir_eval(asked: list[tuple[float, float]], heard: list[tuple[float, float]]) -> None:
    transcription = pytest.importorskip("mir_eval").transcription
    if not asked or not heard:
        return
    one, two = notes(asked), notes(heard)
    columns = [
        part
        for group in (one, two)
        for part in (np.stack([group.onsets, group.offsets], 1), 440 * 2 ** ((group.pitches - 69) / 12))
    ]
    precision, recall, f1, _ = transcription.precision_recall_f1_overlap(*columns, offset_ratio=None)
    found = match_notes(one, two)
    assert (found.precision, found.recall) == pytest.approx((precision, recall))
    assert found.f1 == pytest.approx(f1)


def test_shares() -> None:
    """3 of 4 asked and of 6 heard: 0.75, 0.5 and 6/10; sounds add up before they are divided."""
    counts = NoteCounts(3, 4, 6)
    assert (counts.recall, counts.precision, counts.f1) == (0.75, 0.5, 0.6)
    assert NoteCounts(3, 4, 6) + NoteCounts(0, 6, 0) == NoteCounts(3, 10, 6)
    nothing = NoteCounts(0, 0, 0)
    assert all(math.isnan(value) for value in (nothing.recall, nothing.precision, nothing.f1))
