"""The default where numbers mean the same in both tasks: three methods vote, and Gromov's dissent is the alarm."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from prefalign_robotics.segments.segments import Comparisons, Segments
from prefalign_robotics.transfer.couplings import Sinkhorn
from prefalign_robotics.transfer.features import StepFeatures
from prefalign_robotics.transfer.transfer import Transfer, transfer_linear, transfer_preferences, vote

#: Strengths of smoothing with which benchmarks/preference_transfer.py measures.
GROMOV_EPSILON, SINKHORN_EPSILON = 0.01, 0.05


def transfer_by_vote(
    source: Segments,
    comparisons: Comparisons,
    target: Segments,
    pairs: np.ndarray | None = None,
    *,
    features: StepFeatures,
    starts: int = 10,
    seed: int = 0,
) -> Transfer:
    """The mean of the answers by Gromov, Sinkhorn and a linear reward.

    Gromov sees distances inside each task only, the linear reward numbers only, so that both seldom fail alike. Where
    they contradict each other more often than they agree, one of them has it the wrong way round, and the answer says
    so among its warnings.

    Args:
        source, comparisons, target, pairs: as in `transfer_preferences`.
        features: numbers per step that mean the same in both tasks, such as those of `learned.learn_features`.
        starts: random ones, for the flip risk of Gromov; 0 for none.
        seed: of shuffles and starts.

    Returns:
        Answers with the diagnostics `flip_risk`, and `disagreement`, the share in [0, 1] of pairs that Gromov and the
        linear reward answer in opposite ways.

    Raises:
        SegmentError: as `transfer_preferences` and `transfer_linear`.
    """
    given = source, comparisons, target, pairs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are in the result
        gromov = transfer_preferences(*given, features=features, epsilon=GROMOV_EPSILON, starts=starts, seed=seed)
        sinkhorn = transfer_preferences(
            *given, coupler=Sinkhorn(), features=features, epsilon=SINKHORN_EPSILON, seed=seed
        )
    linear = transfer_linear(*given, features=features)
    found = vote([gromov, sinkhorn, linear])
    opposed = float((gromov.margins * linear.margins < 0).mean())
    doubts = list(found.warnings)
    if opposed > 0.5:
        doubts.append(
            f"Gromov contradicts the linear reward more often than not ({opposed:.0%} of the pairs); check a few "
            "labels of the target"
        )
    risk = {name: value for name, value in gromov.diagnostics.items() if name == "flip_risk"}
    return replace(found, diagnostics={**risk, "disagreement": opposed}, warnings=tuple(doubts))
