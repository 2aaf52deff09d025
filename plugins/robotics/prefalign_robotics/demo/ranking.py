"""How well scores order episodes: all of them, and those that succeeded, where success itself is no help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from prefalign_robotics.simulator.episodes import Episodes

#: What can be better about an episode that succeeds.
CRITERIA = ("return", "speed", "smoothness")
#: Fewer successful episodes are not ranked.
LEAST = 8


def utilities(episodes: Episodes) -> dict[str, np.ndarray]:
    """(E,) by `CRITERIA`: the return, minus the steps until success, minus the mean size of an action's change."""
    changes = np.abs(np.diff(episodes.actions.astype(np.float64), axis=1)).mean((1, 2))
    first = np.where(episodes.succeeded, episodes.success.argmax(1), episodes.steps)
    return {"return": episodes.returns, "speed": -first.astype(np.float64), "smoothness": -changes}


def agreement(scores: np.ndarray, utility: np.ndarray) -> dict[str, float] | None:
    """Spearman's correlation with its two-sided p, and the share of pairs in the right order; None if undefined.

    A tie of scores is half right; pairs of equal utility do not count.

    Args:
        scores: (N,).
        utility: (N,) what the scores should agree with.
    """
    if len(scores) < 3 or len(np.unique(scores)) < 2 or len(np.unique(utility)) < 2:
        return None
    found = spearmanr(scores, utility)
    first, second = np.triu_indices(len(scores), 1)
    wanted = np.sign(utility[second] - utility[first])
    right = 0.5 + 0.5 * (np.sign(scores[second] - scores[first]) * wanted)[wanted != 0].mean()
    return {"spearman": float(found.statistic), "p": float(found.pvalue), "pair_accuracy": float(right)}


def ranking(episodes: Episodes, scores: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Agreement of each score with the return over all episodes, and with each criterion among the successful.

    Args:
        episodes: E of them.
        scores: (E,) by name.
    """
    inside, worth = np.flatnonzero(episodes.succeeded), utilities(episodes)
    found: dict[str, Any] = {
        "successful": len(inside),
        "all": {name: agreement(values, worth["return"]) for name, values in scores.items()},
        "inside": None,
    }
    if len(inside) >= LEAST:
        found["inside"] = {
            criterion: {name: agreement(values[inside], worth[criterion][inside]) for name, values in scores.items()}
            for criterion in CRITERIA
        }
    return found
