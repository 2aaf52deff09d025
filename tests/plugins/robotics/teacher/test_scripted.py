"""The teacher's knobs, one at a time, against B-Pref's definitions."""

import numpy as np
import pytest

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import all_pairs
from prefalign_robotics.teacher.scripted import ScriptedTeacher

# Returns 6, 6, 9, 0; the first grows, the second falls.
REWARDS = np.array([[1, 2, 3], [3, 2, 1], [3, 3, 3], [0, 0, 0]], np.float32)
PAIRS = np.array([[0, 2], [2, 3], [0, 1], [3, 0]])


def test_by_default_the_larger_return_wins_and_equal_ones_tie():
    answers = ScriptedTeacher().answer(REWARDS, PAIRS)
    assert answers.comparisons.labels.tolist() == [1, 0, 0.5, 1]
    assert answers.comparisons.pairs.tolist() == PAIRS.tolist()
    assert (answers.skipped, answers.tied, answers.mistaken.any()) == (0, 1, False)
    for seed in range(5):
        assert np.array_equal(
            ScriptedTeacher().answer(REWARDS, PAIRS, seed).comparisons.labels, answers.comparisons.labels
        )


def test_a_myopic_teacher_looks_at_the_end():
    # By hand: gamma 1/2 weighs (1/4, 1/2, 1), so the returns of 0 and 1 are 4.25 and 2.75.
    teacher = ScriptedTeacher(discount=0.5, rationality=2.0)
    assert teacher.probability(REWARDS, np.array([[0, 1]]))[0] == pytest.approx(1 / (1 + np.exp(2 * 1.5)))
    assert ScriptedTeacher(discount=0.5).probability(REWARDS, np.array([[0, 1], [1, 0]])).tolist() == [0, 1]


def test_a_stochastic_teacher_draws_from_its_probability():
    teacher = ScriptedTeacher(rationality=0.3)
    pairs = np.repeat([[0, 2]], 20_000, 0)
    expected = np.exp(0.3 * 9) / (np.exp(0.3 * 9) + np.exp(0.3 * 6))
    assert teacher.probability(REWARDS, pairs[:1])[0] == pytest.approx(expected)
    labels = teacher.answer(REWARDS, pairs, seed=1).comparisons.labels
    assert labels.mean() == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 20_000))
    assert not np.array_equal(labels, teacher.answer(REWARDS, pairs, seed=2).comparisons.labels)
    assert np.array_equal(labels, teacher.answer(REWARDS, pairs, seed=1).comparisons.labels)
    # Large differences neither overflow nor warn.
    assert ScriptedTeacher(rationality=1e6).probability(REWARDS, PAIRS).tolist() == [1, 0, 0.5, 1]


def test_mistakes_turn_their_share_of_preferences_round_and_say_where():
    pairs = np.repeat([[0, 2], [2, 0], [0, 1]], 5_000, 0)
    answers = ScriptedTeacher(mistakes=0.2).answer(REWARDS, pairs)
    meant = np.repeat([1, 0, 0.5], 5_000)
    wrong = answers.comparisons.labels != meant
    assert wrong[:10_000].mean() == pytest.approx(0.2, abs=0.02)
    assert not wrong[10_000:].any()
    assert np.array_equal(wrong, answers.mistaken)
    assert ScriptedTeacher(mistakes=1).answer(REWARDS, PAIRS).comparisons.labels.tolist() == [0, 1, 0.5, 0]


def test_a_pair_is_skipped_where_even_the_better_segment_is_poor():
    rewards = np.array([[0.5, 0.5], [1, 1], [3, 0], [1, 2]])
    pairs = np.array([[0, 1], [0, 2], [1, 3], [2, 3]])
    answers = ScriptedTeacher(skip=2.5).answer(rewards, pairs)
    assert answers.comparisons.pairs.tolist() == [[0, 2], [1, 3], [2, 3]]
    assert answers.rows.tolist() == [1, 2, 3]
    assert answers.skipped == 1
    # Whole returns decide, not discounted ones.
    assert ScriptedTeacher(skip=2.5, discount=0.1).answer(rewards, pairs).skipped == 1
    # Skips move no other answer.
    teachers = [ScriptedTeacher(rationality=0.5, mistakes=0.3, skip=skip) for skip in (2.5, None)]
    asked = np.repeat(pairs, 50, 0)
    some, all_of_them = (teacher.answer(rewards, asked, seed=3) for teacher in teachers)
    assert np.array_equal(some.comparisons.labels, all_of_them.comparisons.labels[some.rows])
    assert np.array_equal(some.mistaken, all_of_them.mistaken[some.rows])


@pytest.mark.parametrize(("ties", "labels"), [("half", [0.5, 0, 0.5]), ("omit", [0]), ("first", [0, 0, 0])])
def test_ties_in_every_dialect(ties, labels):
    pairs = np.array([[0, 2], [2, 3], [1, 0]])
    answers = ScriptedTeacher(equal=3.0, ties=ties).answer(REWARDS, pairs)
    assert answers.comparisons.labels.tolist() == labels
    assert answers.tied == 2
    assert answers.skipped == 0


def test_a_skipped_pair_is_no_tie():
    answers = ScriptedTeacher(skip=100.0, equal=100.0).answer(REWARDS, PAIRS)
    assert (len(answers.comparisons), answers.skipped, answers.tied) == (0, 4, 0)


def test_other_numbers_are_refused():
    for wrong, complaint in (
        ({"discount": 0.0}, r"discount in \(0, 1\]"),
        ({"rationality": 0.0}, "rationality above 0"),
        ({"mistakes": 1.5}, r"mistakes in \[0, 1\]"),
        ({"equal": -1.0}, "equal of at least 0"),
        ({"ties": "maybe"}, "half, omit or first, got 'maybe'"),
    ):
        with pytest.raises(SegmentError, match=complaint):
            ScriptedTeacher(**wrong)
    with pytest.raises(SegmentError, match="up to 4 of 4"):
        ScriptedTeacher().answer(REWARDS, np.array([[0, 4]]))
    with pytest.raises(SegmentError, match="finite rewards"):
        ScriptedTeacher().answer(REWARDS * np.nan, PAIRS)
    with pytest.raises(SegmentError, match=r"pairs \(P, 2\)"):
        ScriptedTeacher().answer(REWARDS, PAIRS[0])
    assert len(ScriptedTeacher().answer(REWARDS, all_pairs(4)).comparisons) == 6
