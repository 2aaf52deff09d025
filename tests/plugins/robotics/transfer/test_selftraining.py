"""A student that learns from its teacher's confident answers."""

import numpy as np
import pytest

from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import all_pairs
from prefalign_robotics.transfer.report import assess
from prefalign_robotics.transfer.selftraining import confident_half, self_train, student_vectors
from prefalign_robotics.transfer.transfer import Transfer


def unsure_teacher(seed=0, count=50):
    """Features of segments, what they are worth, and answers of which the unsure ones are often wrong."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal((count, 1, 3)) + 0.3 * generator.standard_normal((count, 20, 3))
    worth = values.mean(1) @ [1.0, -1.0, 0.5]
    pairs = all_pairs(count)
    wanted = worth[pairs[:, 1]] - worth[pairs[:, 0]]
    answers = 0.1 * (wanted + 1.5 * generator.standard_normal(len(pairs)))
    return values, pairs, answers, (wanted > 0).astype(float)


def test_the_student_is_right_where_the_teacher_was_unsure():
    values, pairs, answers, labels = unsure_teacher()
    teacher = Transfer(pairs, answers, 0.01, {"energy_p": 0.01}, ("a doubt",))
    student = self_train(teacher, values)
    before, after = (assess(one, labels) for one in (teacher, student))
    assert before["accuracy"] < 0.85
    assert after["accuracy"] > 0.95
    assert np.abs(student.margins).max() <= 0.5
    assert (student.epsilon, student.diagnostics, student.warnings) == (0.01, {"energy_p": 0.01}, ("a doubt",))


def test_a_turned_teacher_has_a_turned_student():
    values, pairs, answers, _ = unsure_teacher()
    plain, turned = (self_train(Transfer(pairs, sign * answers), values) for sign in (1, -1))
    assert plain.margins == pytest.approx(-turned.margins, abs=1e-4)


def test_only_confident_answers_teach():
    values, pairs, answers, _ = unsure_teacher()
    spoilt = np.where(confident_half(answers), answers, -answers)
    assert self_train(Transfer(pairs, spoilt), values).margins == pytest.approx(
        self_train(Transfer(pairs, answers), values).margins
    )


def test_halves_are_taken_block_by_block_and_missing_answers_come_last():
    margins = np.array([0.4, -0.3, 0.01, 0.02, np.nan, -0.005])
    assert confident_half(margins).tolist() == [True, True, False, True, False, False]
    blocks = np.array([0, 0, 1, 1, 1, 1])
    assert confident_half(margins, blocks).tolist() == [True, False, True, True, False, False]


def test_vectors_hold_means_ends_and_products():
    values = np.zeros((2, 10, 2))
    values[0, :5, 0], values[0, 5:, 0], values[1, :, 1] = 1, 3, 2
    vectors = student_vectors(values)
    assert vectors.shape == (2, 9)
    # Standardised, of two segments: one is 1 above and one 1 below the mean; 0 where both are the same.
    assert vectors[0, :6] == pytest.approx([1, -1, 1, -1, 1, -1])
    assert vectors[0] == pytest.approx(-vectors[1])
    first = (values[..., 0] - 1) / np.sqrt((values[..., 0] ** 2).mean() - 1)
    assert vectors[0, 6] == pytest.approx(np.sign((first[0] ** 2).mean() - (first[1] ** 2).mean()))


def test_a_teacher_without_answers_is_refused():
    values, pairs, answers, _ = unsure_teacher()
    with pytest.raises(SegmentError, match="answered no pair"):
        self_train(Transfer(pairs, np.full(len(pairs), np.nan)), values)
    with pytest.raises(SegmentError, match="up to 49, but there are features of 10"):
        self_train(Transfer(pairs, answers), values[:10])
