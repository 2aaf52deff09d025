"""Which weights to merge with: candidates over the simplex, judged by a validation reward vector."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from prefalign.interfaces import PrefalignError

_Value = TypeVar("_Value")

Rewards = Mapping[str, float]
"""Validation rewards by axis."""

Rule = Callable[[Rewards], tuple[float, ...]]
"""How good rewards are; larger is better, compared from the left."""


@dataclass(frozen=True)
class Evaluation:
    """One candidate.

    Attributes:
        weights: (M,), of sum 1.
        rewards: what it got.
        score: the rule's.
    """

    weights: tuple[float, ...]
    rewards: dict[str, float]
    score: tuple[float, ...]


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        best: of the highest score; of equals the one tried first.
        evaluations: all, in the order in which they were tried.
    """

    best: Evaluation
    evaluations: tuple[Evaluation, ...]


def search(
    evaluate: Callable[[tuple[float, ...]], Rewards],
    models: int,
    rule: Rule,
    *,
    step: float = 0.25,
    refinements: int = 0,
    candidates: Sequence[Sequence[float]] = (),
) -> Search:
    """Try the grid of the simplex, then, where asked, the neighbourhood of the best with steps halved.

    Args:
        evaluate: (M,) weights to rewards; called once for each candidate.
        models: M.
        rule: chooses.
        step: between grid points; one over a whole number.
        refinements: rounds around the best so far. A round moves h of weight from one model to another, for every two
            models, with h = step / 2 in the first round and halved from round to round.
        candidates: further weights, tried first; they need not lie on the simplex.

    Raises:
        PrefalignError: for a step that does not divide 1, or a reward that is no number.
    """
    tried: dict[tuple[float, ...], Evaluation] = {}

    def attempt(weights: tuple[float, ...]) -> None:
        if weights in tried:
            return
        rewards = {axis: float(value) for axis, value in evaluate(weights).items()}
        broken = [axis for axis, value in rewards.items() if math.isnan(value)]
        if broken:
            raise PrefalignError(f"the rewards of weights {weights} are not numbers: {', '.join(broken)}")
        tried[weights] = Evaluation(weights, rewards, rule(rewards))

    for weights in (*candidates, *simplex(models, step)):
        attempt(tuple(float(weight) for weight in weights))
    for number in range(1, refinements + 1):
        for weights in _neighbours(_best(tried).weights, step / 2**number):
            attempt(weights)
    return Search(_best(tried), tuple(tried.values()))


def simplex(models: int, step: float) -> list[tuple[float, ...]]:
    """All (M,) weights of sum 1 in multiples of the step, from (1, 0, …) to (…, 0, 1).

    Raises:
        PrefalignError: for a step that does not divide 1, or without models.
    """
    parts = round(1 / step) if 0 < step <= 1 else 0
    if models < 1 or not parts or abs(parts * step - 1) > 1e-9:
        raise PrefalignError(f"expected models and a step of one over a whole number, got {models} and {step}")
    # Stars and bars: the gaps between M − 1 bars among `parts` stars.
    gaps = itertools.combinations(range(parts + models - 1), models - 1)
    counts = [[b - a - 1 for a, b in itertools.pairwise((-1, *bars, parts + models - 1))] for bars in gaps]
    return [tuple(count / parts for count in row) for row in reversed(counts)]


def scalarised(importance: Mapping[str, float]) -> Rule:
    """The rule Σ c_a r_a; a negative importance makes less better."""

    def rule(rewards: Rewards) -> tuple[float, ...]:
        return (math.fsum(weight * _at(rewards, axis) for axis, weight in importance.items()),)

    return rule


def worst_gain(base: Rewards, spreads: Mapping[str, float], directions: Mapping[str, str]) -> Rule:
    """The maximin rule: the smallest gain over the base on any axis, in units of that axis' spread.

    Args:
        base: rewards of the base.
        spreads: of each axis, such as its standard deviation over seeds; above 0.
        directions: "max" or "min" for each axis that counts.

    Raises:
        PrefalignError: for a direction that is neither, or a spread that is not above 0.
    """
    _check(directions)
    for axis in directions:
        if not _at(spreads, axis) > 0:
            raise PrefalignError(f"axis {axis!r}: expected a spread above 0, got {spreads[axis]}")

    def rule(rewards: Rewards) -> tuple[float, ...]:
        return (min(_gain(rewards, base, axis, way) / spreads[axis] for axis, way in directions.items()),)

    return rule


def best_on(axis: str, base: Rewards, spreads: Mapping[str, float], directions: Mapping[str, str]) -> Rule:
    """The rule of one axis: the largest gain on it among candidates that are nowhere worse than the base.

    Where there is none, the candidate of the largest `worst_gain`, whose arguments these are, wins.

    Raises:
        PrefalignError: as `worst_gain`, and for an axis without a direction.
    """
    _at(directions, axis)
    shortfall = worst_gain(base, spreads, directions)

    def rule(rewards: Rewards) -> tuple[float, ...]:
        (worst,) = shortfall(rewards)
        return (0.0, _gain(rewards, base, axis, directions[axis])) if worst >= 0 else (-1.0, worst)

    return rule


def _best(tried: Mapping[tuple[float, ...], Evaluation]) -> Evaluation:
    return max(tried.values(), key=lambda evaluation: evaluation.score)


def _neighbours(weights: tuple[float, ...], step: float) -> Iterator[tuple[float, ...]]:
    for giver, taker in itertools.permutations(range(len(weights)), 2):
        if weights[giver] >= step - 1e-12:
            moved = [*weights]
            # Rounded, so that a point reached by two ways is one point.
            moved[giver], moved[taker] = round(moved[giver] - step, 12), round(moved[taker] + step, 12)
            yield tuple(moved)


def _gain(rewards: Rewards, base: Rewards, axis: str, direction: str) -> float:
    gain = _at(rewards, axis) - _at(base, axis)
    return gain if direction == "max" else -gain


def _at(values: Mapping[str, _Value], axis: str) -> _Value:
    if axis not in values:
        raise PrefalignError(f"there is no axis {axis!r}; there are {', '.join(values)}")
    return values[axis]


def _check(directions: Mapping[str, str]) -> None:
    for axis, direction in directions.items():
        if direction not in ("max", "min"):
            raise PrefalignError(f"axis {axis!r}: expected the direction 'max' or 'min', got {direction!r}")
