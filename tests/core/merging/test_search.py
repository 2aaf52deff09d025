"""The grid by counting, the refinement on a bowl whose minimum is known, and the rules by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefalign.interfaces import PrefalignError
from prefalign.merging.search import best_on, scalarised, search, simplex, worst_gain

BASE = {"error": 0.4, "agreement": 0.6}
SPREADS = {"error": 0.1, "agreement": 0.2}
WAYS = {"error": "min", "agreement": "max"}


def test_the_grid_in_order():
    assert simplex(2, 0.5) == [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)]
    assert simplex(1, 1) == [(1.0,)]


@given(st.integers(1, 4), st.integers(1, 8))
def test_the_grid_is_complete(models, parts):
    """Multisets: C(n + m − 1, m − 1) points, all different, of sum 1, on the grid."""
    points = simplex(models, 1 / parts)
    assert len(set(points)) == len(points) == math.comb(parts + models - 1, models - 1)
    assert all(sum(point) == pytest.approx(1) and min(point) >= 0 for point in points)
    assert all(weight * parts == pytest.approx(round(weight * parts)) for point in points for weight in point)


@pytest.mark.parametrize(("models", "step"), [(2, 0.3), (2, 0), (2, -0.5), (2, 2), (0, 0.5)])
def test_other_grids_are_refused(models, step):
    with pytest.raises(PrefalignError, match="one over a whole number"):
        simplex(models, step)


def bowl(weights):
    """Best at (0.625, 0.25, 0.125), which lies on the grid of eighths and not of quarters."""
    return {"r": -sum((w - t) ** 2 for w, t in zip(weights, (0.625, 0.25, 0.125), strict=True))}


def test_refinement_halves_the_step_around_the_best():
    rule = scalarised({"r": 1})
    coarse = search(bowl, 3, rule, step=0.25)
    assert len(coarse.evaluations) == 15
    assert coarse.best.rewards["r"] < 0
    fine = search(bowl, 3, rule, step=0.25, refinements=1)
    assert fine.best.weights == (0.625, 0.25, 0.125)
    assert fine.evaluations[:15] == coarse.evaluations
    assert fine.best == max(fine.evaluations, key=lambda e: e.score)


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.integers(0, 4))
def test_every_candidate_is_tried_once_and_lies_on_the_simplex(target, refinements):
    seen = []

    def evaluate(weights):
        seen.append(weights)
        return {"r": -sum((w - t) ** 2 for w, t in zip(weights, target, strict=True))}

    found = search(evaluate, 3, scalarised({"r": 1}), step=0.5, refinements=refinements)
    assert [e.weights for e in found.evaluations] == seen
    assert len(set(seen)) == len(seen)
    assert all(min(w) >= 0 and sum(w) == pytest.approx(1) for w in seen)
    assert found.best.score == max(e.score for e in found.evaluations)


def test_of_equals_the_first_wins_and_given_candidates_come_first():
    seen = []
    found = search(
        lambda w: seen.append(w) or {"r": 1.0}, 2, scalarised({"r": 1}), step=0.5, candidates=[(1.5, -0.5), (0, 1)]
    )
    assert [e.weights for e in found.evaluations] == [(1.5, -0.5), (0.0, 1.0), (1.0, 0.0), (0.5, 0.5)]
    assert found.best == found.evaluations[0]
    assert len(seen) == 4


def test_the_rules_by_hand():
    """Error 0.4 → 0.3 gains 1 spread; agreement 0.6 → 0.7 gains half a spread, and 0.6 → 0.5 loses half a one."""
    both, traded = {"error": 0.3, "agreement": 0.7}, {"error": 0.1, "agreement": 0.5}
    worst, axis = worst_gain(BASE, SPREADS, WAYS), best_on("error", BASE, SPREADS, WAYS)
    assert worst(both) == (pytest.approx(0.5),)
    assert worst(traded) == (pytest.approx(-0.5),)
    assert axis(both) == (0.0, pytest.approx(0.1))
    assert axis(traded) < axis(BASE) == (0.0, 0.0) < axis(both)
    assert axis({"error": 0.5, "agreement": 0.9}) == (-1.0, pytest.approx(-1))
    assert scalarised({"error": -2, "agreement": 1})(both) == (pytest.approx(0.1),)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: worst_gain(BASE, SPREADS, {"error": "down"}), "expected the direction 'max' or 'min', got 'down'"),
        (lambda: worst_gain(BASE, {"error": 0.0}, {"error": "min"}), "a spread above 0"),
        (lambda: best_on("melody", BASE, SPREADS, WAYS), "no axis 'melody'; there are error, agreement"),
        (lambda: scalarised({"melody": 1})(BASE), "no axis 'melody'"),
        (lambda: search(lambda w: {"r": math.nan}, 1, scalarised({"r": 1})), r"weights \(1.0,\) are not numbers: r"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, message):
    with pytest.raises(PrefalignError, match=message):
        call()
