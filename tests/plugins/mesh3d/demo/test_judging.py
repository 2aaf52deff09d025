"""Judgements of token sequences that are right, cut short, empty or without an end."""

import pytest

from prefalign_mesh3d.demo.judging import Judgement, judge, means
from prefalign_mesh3d.demo.preparation import placed, tokenizer
from prefalign_mesh3d.demo.shapes import draw_shapes

TOKENIZER = tokenizer()
SHAPE = placed(draw_shapes(1, 0)[0])
IDS = TOKENIZER.tokenize(SHAPE).tolist()
WHOLE = [*IDS, TOKENIZER.eos_id]


def test_a_right_answer_is_closed_ended_and_near():
    found = judge(WHOLE, SHAPE, TOKENIZER, 0)
    assert (found.closed, found.ended, found.boundary, found.length) == (1, 1, 0, len(IDS))
    # 1024 points of a surface of about 10 square units are some 0.05 from their neighbours; half a cell is 0.06.
    assert 0.01 < found.chamfer < 0.07
    assert judge(WHOLE, SHAPE, TOKENIZER, 0) == found
    assert judge(WHOLE, SHAPE, TOKENIZER, 1).chamfer != found.chamfer


def test_another_shape_is_farther_and_as_closed():
    other = placed(draw_shapes(2, 0)[1])
    found = judge(WHOLE, other, TOKENIZER, 0)
    assert found.closed == 1
    assert found.chamfer > 1.5 * judge(WHOLE, SHAPE, TOKENIZER, 0).chamfer


def test_a_right_answer_without_its_end_is_not_closed():
    found, whole = judge(IDS, SHAPE, TOKENIZER, 0), judge(WHOLE, SHAPE, TOKENIZER, 0)
    assert (found.closed, found.ended, found.boundary) == (0, 0, 0)
    assert (found.chamfer, found.length) == (whole.chamfer, whole.length)


def test_a_cut_answer_is_open_and_farther():
    cut = IDS[: len(IDS) // 4]
    found = judge([*cut, TOKENIZER.eos_id], SHAPE, TOKENIZER, 0)
    assert (found.closed, found.ended, found.length) == (0, 1, len(cut))
    assert 0 < found.boundary <= 1
    assert found.chamfer > 1.5 * judge(WHOLE, SHAPE, TOKENIZER, 0).chamfer


@pytest.mark.parametrize(("tokens", "ended"), [([], 0), ([TOKENIZER.eos_id], 1)])
def test_an_empty_answer_is_as_bad_as_can_be(tokens, ended):
    assert judge(tokens, SHAPE, TOKENIZER, 0) == Judgement(1, 1, 0, ended, 0)


def test_means_are_taken_figure_by_figure():
    found = means([Judgement(0.1, 0, 1, 1, 100), Judgement(0.3, 0.5, 0, 1, 50)])
    assert found == {"chamfer": pytest.approx(0.2), "boundary": 0.25, "closed": 0.5, "ended": 1, "length": 75}
