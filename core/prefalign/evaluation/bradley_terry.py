"""Ratings of many models from their games against one another (Bradley and Terry 1952; Chatbot Arena, 2403.04132)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import logsigmoid

from prefalign.evaluation.bootstrap import Interval, bounds, resample
from prefalign.evaluation.win_rate import checked_outcomes
from prefalign.interfaces import PrefalignError
from prefalign.interfaces.errors import unknown_name

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ratings:
    """Strengths on the scale where P(a beats b) = σ(strength of a − strength of b).

    Attributes:
        players: the P names, best first.
        strength: (P,) in nats, with mean 0.
        low, high: (P,) bounds of the bootstrap intervals, infinite where too many rounds had no finite maximum.
        games: (P,) games played.
        confidence: of the intervals.
    """

    players: tuple[str, ...]
    strength: Floats
    low: Floats
    high: Floats
    games: NDArray[np.int64]
    confidence: float

    def probability(self, first: str, second: str) -> float:
        """P(first beats second), a tie being half a win.

        Raises:
            PrefalignError: for an unknown player, with near names.
        """
        for name in (first, second):
            if name not in self.players:
                raise unknown_name("player", name, self.players)
        difference = self.strength[self.players.index(first)] - self.strength[self.players.index(second)]
        return float(1 / (1 + np.exp(-difference)))

    def elo(self, average: float = 1000.0) -> dict[str, Interval]:
        """The same on the Elo scale, where 400 points are odds of ten to one, by player, best first."""
        points = average + 400 / math.log(10) * np.stack([self.strength, self.low, self.high], axis=1)
        return {
            name: Interval(estimate, low, high, self.confidence)
            for name, (estimate, low, high) in zip(self.players, points.tolist(), strict=True)
        }


def bradley_terry(
    first: Sequence[str],
    second: Sequence[str],
    outcomes: Sequence[float],
    *,
    prior: float = 0.0,
    confidence: float = 0.95,
    rounds: int = 200,
    seed: int = 0,
) -> Ratings:
    """Maximum-likelihood ratings from n games, with percentile bootstrap intervals over the games.

    Args:
        first, second: (n,) names of the players of each game.
        outcomes: (n,) 1 where the first won, 0 where the second did; a tie (1/2) counts as half a win for each.
        prior: drawn games of every player against an average one, on top of the data. Above 0 all ratings are finite,
            and those of players with few games are drawn to the mean.
        confidence: of the intervals, in (0, 1).
        rounds: bootstrap rounds; 0 leaves the intervals out (infinite).
        seed: of the draws.

    Raises:
        PrefalignError: for lists of unequal length, a player against itself, an outcome outside [0, 1], or (with prior
            0) games that leave the ratings without a finite maximum; two players between whom it fails are named.
    """
    scores = checked_outcomes(outcomes)
    if not len(first) == len(second) == len(scores):
        raise PrefalignError(f"expected lists of one length, got {len(first)}, {len(second)} and {len(scores)}")
    names = sorted({*first, *second})
    place = {name: index for index, name in enumerate(names)}
    ends = np.array([[place[a], place[b]] for a, b in zip(first, second, strict=True)])
    same = np.flatnonzero(ends[:, 0] == ends[:, 1])
    if len(same):
        raise PrefalignError(f"game {same[0]}: {first[same[0]]!r} cannot play against itself")
    if prior < 0:
        raise PrefalignError(f"expected a prior of at least 0 games, got {prior}")
    kinds, counts = np.unique(np.column_stack([ends, scores]), axis=0, return_counts=True)
    wins = win_matrix(kinds, counts, len(names))
    gap = None if prior else unreachable(wins)
    if gap is not None:
        strong, weak = names[gap[0]], names[gap[1]]
        raise PrefalignError(
            f"no finite ratings: {weak!r} never took a point from {strong!r}, nor from anyone through whom they could "
            "be compared; leave one of them out, or set prior to 1"
        )
    strength = fit(wins, prior)
    replicas = np.full((max(rounds, 1), len(names)), np.nan)
    for index, drawn in enumerate(resample(counts, rounds, seed)):
        again = win_matrix(kinds, drawn, len(names))
        if prior or unreachable(again) is None:
            replicas[index] = fit(again, prior, start=strength)
    low, high = bounds(replicas, confidence)
    order = np.argsort(-strength, kind="stable")
    games = np.bincount(ends.ravel(), minlength=len(names))
    return Ratings(tuple(names[i] for i in order), strength[order], low[order], high[order], games[order], confidence)


def win_matrix(kinds: Floats, counts: NDArray[np.int64], players: int) -> Floats:
    """(P, P) points that the row's player took from the column's.

    Args:
        kinds: (K, 3) first player, second player, outcome.
        counts: (K,) how often.
        players: P.
    """
    one, other = kinds[:, 0].astype(int), kinds[:, 1].astype(int)
    wins = np.zeros((players, players))
    np.add.at(wins, (one, other), counts * kinds[:, 2])
    np.add.at(wins, (other, one), counts * (1 - kinds[:, 2]))
    return wins


def unreachable(wins: Floats) -> tuple[int, int] | None:
    """Two players of whom the second took no point from the first, not even by way of others; None if there are none.

    A finite maximum exists, and is unique, exactly if there are none (Ford 1957).
    """
    reach = (wins > 0) | np.eye(len(wins), dtype=bool)
    for _ in range(len(wins).bit_length()):
        reach = reach @ reach
    missing = np.argwhere(~reach)
    return (int(missing[0, 1]), int(missing[0, 0])) if len(missing) else None


def fit(wins: Floats, prior: float, start: Floats | None = None) -> Floats:
    """(P,) strengths of mean 0 in nats that maximise Σ wins[i, j] · log σ(s_i − s_j) plus the prior's share.

    Args:
        wins: (P, P) points of the row's player against the column's.
        prior: drawn games of each player against one of strength 0.
        start: (P,) where to start from; 0 if None.

    Raises:
        PrefalignError: if the optimiser stops before its gradient vanishes.
    """
    row, column = np.nonzero(wins)
    points = torch.from_numpy(wins[row, column])
    strength = torch.tensor(np.zeros(len(wins)) if start is None else start, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [strength], max_iter=500, tolerance_grad=1e-8, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )
    total = float(wins.sum())

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        likelihood = (points * logsigmoid(strength[row] - strength[column])).sum()
        if prior:
            likelihood = likelihood + prior / 2 * (logsigmoid(strength) + logsigmoid(-strength)).sum()
        loss = -likelihood / total
        loss.backward()
        return loss

    optimizer.step(closure)
    closure()
    assert strength.grad is not None
    if not strength.grad.abs().max() < 1e-6:
        raise PrefalignError("the ratings did not converge: some players are too far apart; set prior to 1")
    found = strength.detach().numpy()
    return found - found.mean()
