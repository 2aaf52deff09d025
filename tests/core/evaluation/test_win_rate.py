"""Win rates and their intervals."""

import math

import numpy as np
import pytest

from prefalign.evaluation.bootstrap import bounds, resample
from prefalign.evaluation.win_rate import win_rate
from prefalign.interfaces import PrefalignError


def test_the_mean_and_its_standard_error():
    """600 wins, 100 ties, 300 losses: mean 0.65, variance 0.6 + 0.025 − 0.65² = 0.2025, standard error 0.45/√1000."""
    found = win_rate([1.0] * 600 + [0.5] * 100 + [0.0] * 300, rounds=4000)
    assert found.estimate == pytest.approx(0.65)
    error = 0.45 / math.sqrt(1000)
    assert found.low == pytest.approx(0.65 - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(0.65 + 1.96 * error, abs=0.1 * error)
    assert found == win_rate([1.0] * 600 + [0.5] * 100 + [0.0] * 300, rounds=4000)
    assert win_rate([1, 0] * 500, confidence=0.5).low > win_rate([1, 0] * 500).low


def test_judgements_of_one_prompt_are_drawn_together():
    """Every prompt judged twice with the same outcome: half the evidence, so the interval is √2 wider."""
    outcomes, clusters = [1.0] * 400 + [0.0] * 400, [i // 2 for i in range(800)]
    apart, together = win_rate(outcomes, rounds=4000), win_rate(outcomes, clusters=clusters, rounds=4000)
    assert together.estimate == apart.estimate == 0.5
    assert (together.high - together.low) / (apart.high - apart.low) == pytest.approx(math.sqrt(2), rel=0.06)


def test_opposite_orders_cancel():
    """A judge that always picks the first answer: both orders of a prompt make 1/2, and nothing is uncertain."""
    found = win_rate([1.0, 0.0] * 50, clusters=[i // 2 for i in range(100)])
    assert (found.estimate, found.low, found.high) == (0.5, 0.5, 0.5)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """True rate 0.7, 200 games, 300 experiments at 90 %: the count is binomial with deviation 5.2."""
    draw = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        found = win_rate((draw.random(200) < 0.7).astype(float), confidence=0.9, rounds=300)
        covered += found.low <= 0.7 <= found.high
    assert 270 - 16 <= covered <= 270 + 16


def test_resampling_draws_as_many_as_there_were():
    drawn = resample(np.array([10, 30, 60]), 5000, seed=1)
    assert (drawn.sum(1) == 100).all()
    np.testing.assert_allclose(drawn.mean(0), [10, 30, 60], rtol=0.03)
    np.testing.assert_allclose(drawn.var(0), [9, 21, 24], rtol=0.1)  # n p (1 − p)


def test_rounds_without_an_answer_widen_the_interval():
    """Of 100 rounds at 90 % the 5th lowest is the bound: with 4 missing the lowest of the rest, with 6 infinity."""
    values = np.arange(100.0)
    assert bounds(values, 0.9) == (4.0, 95.0)
    few, many = values.copy(), values.copy()
    few[50:54], many[50:56] = np.nan, np.nan
    assert bounds(few, 0.9) == (0.0, 99.0)
    assert bounds(many, 0.9) == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"outcomes": []}, "at least one outcome"),
        ({"outcomes": [0.5, 2.0]}, r"outcomes\[1\]: expected a number between 0 and 1, got 2.0"),
        ({"outcomes": [math.nan]}, r"outcomes\[0\]"),
        ({"outcomes": [[1.0]]}, "shape"),
        ({"outcomes": [1.0], "clusters": ["a", "b"]}, "one cluster for each of 1 outcomes, got 2"),
        ({"outcomes": [1.0], "confidence": 1.0}, "confidence between 0 and 1"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(PrefalignError, match=message):
        win_rate(**arguments)


def test_an_interval_reads_well():
    assert str(win_rate([1.0, 1.0])) == "1 [1, 1]"
