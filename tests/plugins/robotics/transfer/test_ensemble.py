"""Three methods vote, and the alarm rings where two of them contradict each other."""

import numpy as np
import pytest

from prefalign_robotics.segments.segments import Comparisons, Segments
from prefalign_robotics.transfer.couplings import Sinkhorn
from prefalign_robotics.transfer.ensemble import GROMOV_EPSILON, SINKHORN_EPSILON, transfer_by_vote
from prefalign_robotics.transfer.report import assess
from prefalign_robotics.transfer.transfer import transfer_linear, transfer_preferences, vote


def observations(segments):
    return segments.observations


def test_the_vote_is_that_of_the_three_methods(source, target):
    found = transfer_by_vote(*source, target[0], features=observations)
    given = (*source, target[0])
    alone = [
        transfer_preferences(*given, features=observations, epsilon=GROMOV_EPSILON),
        transfer_preferences(*given, coupler=Sinkhorn(), features=observations, epsilon=SINKHORN_EPSILON),
        transfer_linear(*given, features=observations),
    ]
    np.testing.assert_array_equal(found.margins, vote(alone).margins)
    opposed = np.mean(np.sign(alone[0].margins) == -np.sign(alone[2].margins))
    assert found.diagnostics == {"flip_risk": alone[0].diagnostics["flip_risk"], "disagreement": opposed}
    assert assess(found, target[1].labels)["accuracy"] > 0.8
    assert not found.warnings


def test_a_task_whose_numbers_are_turned_round_raises_the_alarm(source, target):
    """Distances do not see the sign, a linear reward does: one of the two must be wrong, and which, nobody knows."""
    turned = Segments(-target[0].observations, target[0].actions, "turned")
    found = transfer_by_vote(*source, turned, features=observations)
    assert found.diagnostics["disagreement"] > 0.5
    assert any("contradicts the linear reward" in doubt for doubt in found.warnings)


def test_without_starts_there_is_no_flip_risk(source, target):
    found = transfer_by_vote(*source, target[0], features=observations, starts=0)
    assert set(found.diagnostics) == {"disagreement"}


def test_the_source_needs_a_preference(source, target):
    ties = Comparisons(source[1].pairs, np.full(len(source[1]), 0.5))
    with pytest.raises(ValueError, match=r"all .* comparisons are ties"):
        transfer_by_vote(source[0], ties, target[0], features=observations)
