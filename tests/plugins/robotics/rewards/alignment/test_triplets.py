"""Triplets from rankings and from a scripted teacher."""

import dataclasses

import numpy as np
import pytest
from tests.plugins.robotics.rewards.alignment.conftest import record, trajectory

from prefalign.interfaces import Group, Pair, Ranking, RecordError, Relations, Unary
from prefalign_robotics.rewards.alignment.triplets import anchored, triplets
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Segments
from prefalign_robotics.teacher.scripted import ScriptedTeacher

A, B, C, D = (trajectory([number, 0]) for number in range(4))


def test_the_best_becomes_the_anchor_of_the_rest():
    found = anchored(record(None, A, B, C, D, verdict=Ranking((2, 0, 1, 2))))
    assert found.reference_answer == B
    assert found.responses == (A, C, D)
    relations = Relations.from_records([found])
    assert [*zip(relations.chosen.tolist(), relations.rejected.tolist(), strict=True)] == [(1, 0), (0, 2), (1, 2)]
    assert relations.tie.tolist() == [False, True, False]


def test_equals_are_a_tie_beside_the_first():
    found = anchored(record(None, A, B, C, verdict=Group((5.0, 5.0, 5.0))))
    assert found.reference_answer == A
    relations = Relations.from_records([found])
    assert (relations.probability.tolist(), relations.tie.tolist()) == ([0.5], [True])
    assert anchored(record(None, A, B, C, verdict=Group((1.0, 7.0, 3.0)))).reference_answer == B


def test_verdicts_of_which_nothing_can_be_made():
    with pytest.raises(RecordError, match=r"'r'.*'verdict'.*got a Unary"):
        anchored(record(None, A, B, C, verdict=Unary((True, False, True))))
    with pytest.raises(RecordError, match="got a Pair"):
        anchored(record(None, A, B, C, verdict=Pair(0, 1)))
    with pytest.raises(RecordError, match=r"'responses'.*got 2"):
        anchored(record(None, A, B, verdict=Ranking((0, 1))))
    other = dataclasses.replace(record(None, A, B, C, verdict=Ranking((0, 1, 2))), criteria={"x": Ranking((0, 1, 2))})
    assert anchored(other).criteria == {}


def task(count, steps=3, seed=0):
    generator = np.random.default_rng(seed)
    observations = np.repeat(np.arange(count, dtype=np.float32)[:, None, None], steps, 1)
    rewards = generator.permutation(count)[:, None].repeat(steps, 1).astype(np.float32)
    return Segments(observations, np.zeros((count, steps, 1), np.float32), "task"), rewards


def worth(rewards, response):
    return rewards[int(response.arrays["observations"][0, 0])].sum()


def test_a_teacher_without_fail_ranks_each_three():
    segments, rewards = task(9)
    made = triplets(segments, rewards, 84)  # all there are
    assert len({one.id for one in made}) == 84
    for one in made:
        values = [worth(rewards, r) for r in (one.reference_answer, *one.responses)]
        relations = Relations.from_records([one])
        chosen, rejected = values[1 + relations.chosen.item()], values[1 + relations.rejected.item()]
        assert values[0] > chosen > rejected
    assert [one.id for one in triplets(segments, rewards, 10, seed=1)] != [one.id for one in made[:10]]
    assert triplets(segments, rewards, 5, seed=1) == triplets(segments, rewards, 5, seed=1)


def test_returns_that_are_equal_or_nearly_make_equal_triplets():
    segments, rewards = task(6)
    for teacher, values in ((None, np.ones_like(rewards)), (ScriptedTeacher(equal=100.0), rewards)):
        made = triplets(segments, values, 10, teacher)
        assert len(made) == 10
        assert all(one.verdict == Ranking((0, 0)) for one in made)


def test_threes_that_a_teacher_does_not_answer_are_left_out():
    """Of returns 0 to 5, both of a pair are below 9 (3 steps of 3) in those with two or three of the lower half.

    A three has such a pair unless at most one is of the lower half: 3 · 3 + 1 = 10 of 20.
    """
    segments, rewards = task(6)
    assert len(triplets(segments, rewards, 20, ScriptedTeacher(skip=9.0))) == 10
    assert triplets(segments, np.ones_like(rewards), 20, ScriptedTeacher(ties="omit")) == []


def test_mistakes_that_run_in_a_circle_are_ties():
    segments, rewards = task(30)
    made = triplets(segments, rewards, 400, ScriptedTeacher(mistakes=0.5))
    equal = sum(one.verdict == Ranking((0, 0)) for one in made) / len(made)
    assert equal == pytest.approx(1 / 4, abs=0.08)  # two of the eight outcomes of three fair coins


def test_what_is_refused():
    segments, rewards = task(4)
    for count in (0, 5):
        with pytest.raises(SegmentError, match=f"task: 4 segments make 4 triplets, not {count}"):
            triplets(segments, rewards, count)
    with pytest.raises(SegmentError, match=r"expected rewards \(4, 3\)"):
        triplets(segments, rewards[:, :2], 1)
