"""Orders by hand, and that successes are ranked among themselves."""

import numpy as np
import pytest
from tests.plugins.robotics.demo.conftest import reaching_episodes

from prefalign_robotics.demo.ranking import CRITERIA, LEAST, agreement, ranking, utilities


def test_agreement_of_four_by_hand():
    """Ranks 1 2 3 4 against 2 1 3 4: Spearman 1 − 6·2/(4·15) = 0.8, and five of six pairs in the right order."""
    found = agreement(np.array([1.0, 2.0, 3.0, 4.0]), np.array([20.0, 10.0, 30.0, 40.0]))
    assert found["spearman"] == pytest.approx(0.8)
    assert found["pair_accuracy"] == pytest.approx(5 / 6)
    # t = 0.8 sqrt(2 / 0.36) = 1.886 with two degrees of freedom.
    assert found["p"] == pytest.approx(0.2, abs=1e-6)


def test_ties():
    """Of three pairs one has equal utility and does not count; a tie of scores is half right."""
    found = agreement(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 2.0]))
    assert found["pair_accuracy"] == pytest.approx((0.5 + 1) / 2)


@pytest.mark.parametrize("constant", [0, 1])
def test_nothing_is_said_where_nothing_varies(constant):
    values = [np.arange(5.0), np.ones(5)]
    assert agreement(values[constant], values[1 - constant]) is None
    assert agreement(np.arange(2.0), np.arange(2.0)) is None


def test_what_can_be_better_about_an_episode():
    episodes = reaching_episodes("carry-left", 3)
    episodes.success[:] = False
    episodes.success[0, 4:] = True
    episodes.actions[:] = 0
    episodes.actions[1, ::2, 0] = 1  # one number of four moves by 1 at every step
    found = utilities(episodes)
    assert tuple(found) == CRITERIA
    assert np.array_equal(found["return"], episodes.returns)
    assert found["speed"].tolist() == [-4, -100, -100]
    assert found["smoothness"] == pytest.approx([0, -0.25, 0])


def test_success_is_no_help_among_the_successful():
    """Scores that tell success from failure, and order successes the wrong way round."""
    episodes = reaching_episodes("carry-left", 24)
    episodes.success[:] = False
    episodes.success[:LEAST, -1] = True
    episodes.rewards[:] = 0
    episodes.rewards[:LEAST, 0] = 100 + np.arange(LEAST)
    episodes.rewards[LEAST:, 0] = np.arange(24 - LEAST)
    scores = episodes.returns.copy()
    scores[:LEAST] = scores[:LEAST][::-1]
    found = ranking(episodes, {"learned": scores})
    assert found["successful"] == LEAST
    assert found["all"]["learned"]["spearman"] > 0.9
    assert found["inside"]["return"]["learned"]["spearman"] == pytest.approx(-1)
    assert found["inside"]["return"]["learned"]["pair_accuracy"] == 0
    assert found["inside"]["speed"]["learned"] is None  # all succeed at the same step
    episodes.success[0] = False
    assert ranking(episodes, {"learned": scores})["inside"] is None
