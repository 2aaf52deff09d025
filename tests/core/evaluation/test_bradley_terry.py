"""Bradley–Terry ratings against closed forms, another algorithm and a simulation."""

import math

import numpy as np
import pytest

from prefalign.evaluation.bradley_terry import bradley_terry
from prefalign.interfaces import PrefalignError


def games(*results):
    """Columns from (first, second, outcome, times)."""
    rows = [(a, b, y) for a, b, y, times in results for _ in range(times)]
    return [list(column) for column in zip(*rows, strict=True)]


def strengths(ratings):
    return dict(zip(ratings.players, ratings.strength, strict=True))


#: Won games in proportion to strengths 4 : 2 : 1, so that the model fits exactly: a beats b 2 : 1, b beats c 2 : 1, a
#: beats c 4 : 1. Of the three games of a and b one was won and two were tied: 1 + 2/2 points against 2/2.
EXACT = games(
    ("a", "b", 1, 1), ("b", "a", 0.5, 2), ("b", "c", 1, 2), ("c", "b", 1, 1), ("a", "c", 1, 4), ("c", "a", 1, 1)
)


def test_three_players_by_hand():
    """ln 4, ln 2 and 0, less their mean ln 2."""
    found = bradley_terry(*EXACT, rounds=0)
    assert found.players == ("a", "b", "c")
    np.testing.assert_allclose(found.strength, [math.log(2), 0, -math.log(2)], atol=1e-6)
    assert found.games.tolist() == [8, 6, 8]
    assert found.probability("a", "c") == pytest.approx(0.8, abs=1e-6)
    assert found.probability("c", "b") == pytest.approx(1 / 3, abs=1e-6)
    assert (found.low == -math.inf).all()
    assert (found.high == math.inf).all()


def test_players_who_never_met_are_rated_through_others():
    """a–b 3 : 1 and b–c 1 : 2 make a chain, in which each difference is its own log odds: ln 3 and −ln 2."""
    found = strengths(
        bradley_terry(*games(("a", "b", 1, 3), ("a", "b", 0, 1), ("b", "c", 1, 1), ("c", "b", 1, 2)), rounds=0)
    )
    assert found["a"] - found["b"] == pytest.approx(math.log(3), abs=1e-6)
    assert found["c"] - found["b"] == pytest.approx(math.log(2), abs=1e-6)


def test_the_prior_solves_its_own_equation():
    """One game, won, with one drawn game each against strength 0: s = ±x where σ(−2x) = σ(x) − 1/2."""
    found = strengths(bradley_terry(["a"], ["b"], [1.0], prior=1.0, rounds=0))
    x = found["a"]
    assert found["b"] == pytest.approx(-x, abs=1e-6)
    assert 1 / (1 + math.exp(2 * x)) == pytest.approx(1 / (1 + math.exp(-x)) - 0.5, abs=1e-6)


def simulate(strength, count, seed, ties=0.0):
    draw = np.random.default_rng(seed)
    one = draw.integers(len(strength), size=count)
    other = (one + draw.integers(1, len(strength), size=count)) % len(strength)
    won = draw.random(count) < 1 / (1 + np.exp(strength[other] - strength[one]))
    outcomes = np.where(draw.random(count) < ties, 0.5, won)
    return [f"p{i}" for i in one], [f"p{i}" for i in other], outcomes.tolist()


def minorise(first, second, outcomes, rounds=3000):
    """Hunter's (2004) algorithm: s_i ← points_i / Σ_j games_ij / (s_i + s_j), another way to the same maximum."""
    names = sorted({*first, *second})
    points, met = np.zeros(len(names)), np.zeros((len(names), len(names)))
    for a, b, y in zip(first, second, outcomes, strict=True):
        i, j = names.index(a), names.index(b)
        points[i] += y
        points[j] += 1 - y
        met[i, j] += 1
        met[j, i] += 1
    s = np.ones(len(names))
    for _ in range(rounds):
        s = points / (met / (s[:, None] + s[None])).sum(1)
        s /= np.exp(np.log(s).mean())
    return dict(zip(names, np.log(s), strict=True))


def test_another_algorithm_finds_the_same_maximum():
    data = simulate(np.array([2.0, 1.0, 0.5, 0.0, -1.5]), 400, seed=3, ties=0.2)
    assert strengths(bradley_terry(*data, rounds=0)) == pytest.approx(minorise(*data), abs=1e-5)


def test_a_simulation_finds_the_truth_within_its_intervals():
    """The information of a difference is about n·p(1 − p), so 6000 games among 5 fix each strength to about 0.05."""
    truth = np.array([1.2, 0.4, 0.0, -0.5, -1.1])
    truth -= truth.mean()
    found = bradley_terry(*simulate(truth, 6000, seed=0), rounds=100)
    order = [int(name[1:]) for name in found.players]
    assert order == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found.strength, truth, atol=0.15)
    assert ((found.low < truth) & (truth < found.high)).sum() >= 4
    assert (found.high - found.low < 0.3).all()
    assert ((found.low < found.strength) & (found.strength < found.high)).all()


def test_intervals_cover_the_truth_as_often_as_they_say():
    """40 experiments of three players at 90 %: 120 intervals, of which about 108 cover."""
    truth = np.array([0.6, 0.0, -0.6])
    covered = 0
    for seed in range(40):
        found = bradley_terry(*simulate(truth, 150, seed), rounds=40, confidence=0.9, seed=seed)
        place = [int(name[1:]) for name in found.players]
        covered += ((found.low <= truth[place]) & (truth[place] <= found.high)).sum()
    assert 96 <= covered <= 118


def test_the_elo_scale():
    """Odds of ten to one are 400 points; two players stand at 1000 ± 200."""
    found = bradley_terry(*games(("a", "b", 1, 10), ("b", "a", 1, 1)), rounds=20)
    elo = found.elo()
    assert list(elo) == ["a", "b"]
    assert elo["a"].estimate == pytest.approx(1200, abs=1e-3)
    assert elo["b"].estimate == pytest.approx(800, abs=1e-3)
    assert elo["a"].low < 1200 < elo["a"].high
    assert found.elo(average=0)["a"].estimate == pytest.approx(200, abs=1e-3)


def test_order_of_a_game_does_not_matter():
    swapped = [EXACT[1], EXACT[0], [1 - y for y in EXACT[2]]]
    assert strengths(bradley_terry(*swapped, rounds=0)) == pytest.approx(strengths(bradley_terry(*EXACT, rounds=0)))


def test_rounds_without_a_finite_maximum_leave_the_bounds_open():
    """b won 1 of 8 games: a third of the rounds holds none of b's wins, (7/8)^8, so nothing bounds a from above."""
    found = bradley_terry(*games(("a", "b", 1, 7), ("b", "a", 1, 1)), rounds=100)
    assert found.strength[0] == pytest.approx(math.log(7) / 2, abs=1e-6)
    assert found.high[0] == math.inf
    bounded = bradley_terry(*games(("a", "b", 1, 7), ("b", "a", 1, 1)), rounds=100, prior=1.0)
    assert np.isfinite(bounded.high).all()
    assert bounded.strength[0] < found.strength[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (games(("a", "b", 1, 3), ("b", "c", 1, 1), ("c", "b", 1, 1)), "never took a point from 'a'"),
        (games(("a", "b", 0.5, 3), ("c", "d", 0.5, 1)), "no finite ratings"),
        ((["a"], ["a"], [1.0]), "game 0: 'a' cannot play against itself"),
        ((["a"], ["b", "c"], [1.0]), "lists of one length, got 1, 2 and 1"),
        ((["a"], ["b"], [1.5]), r"outcomes\[0\]"),
        (([], [], []), "at least one outcome"),
    ],
)
def test_bad_input_is_refused(data, message):
    with pytest.raises(PrefalignError, match=message):
        bradley_terry(*data)


def test_a_prior_is_no_debt_and_names_are_checked():
    with pytest.raises(PrefalignError, match="prior of at least 0"):
        bradley_terry(*EXACT, prior=-1)
    with pytest.raises(PrefalignError, match="unknown player 'aa'; did you mean 'a'"):
        bradley_terry(*EXACT, rounds=0).probability("b", "aa")
