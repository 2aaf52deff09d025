"""An episode takes any kind of number and refuses what is none."""

import numpy as np
import pytest

from prefalign_robotics.segments.episodes import Episode
from prefalign_robotics.segments.errors import SegmentError


def test_numbers_of_any_kind_become_float32_and_flags_become_bool():
    episode = Episode(
        np.arange(6, dtype=">f8").reshape(3, 2),
        np.array([1, 2, 3]),
        rewards=np.array([0, 1, 0], np.uint8),
        dones=np.array([0.0, 0.0, 1.0]),
        final_observation=[6, 7],
    )
    assert len(episode) == 3
    assert episode.observations.dtype == np.float32
    assert episode.observations.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert episode.actions.tolist() == [[1], [2], [3]]
    assert episode.rewards.tolist() == [0, 1, 0]
    assert episode.dones.tolist() == [False, False, True]
    assert episode.final_observation.tolist() == [6, 7]
    assert episode.terminations is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"actions": [[0.0], [np.nan], [0.0]]}, r"^file, demo_7: actions at step 1, number 0: .*got nan"),
        ({"observations": [[0.0], [0.0], [1e39]]}, r"observations at step 2, number 0: .* within float32, got 1e\+39"),
        ({"rewards": [0.0, 0.0, -np.inf]}, r"rewards at step 2: .*got -inf"),
        ({"rewards": [0.0, 0.0]}, "expected 3 rewards, one for each action, got 2"),
        ({"observations": np.zeros((4, 1))}, "expected 3 observations, one for each action, got 4"),
        (
            {"observations": np.zeros((3, 4, 4))},
            r"expected observations \(steps, numbers\) of numbers, got \(3, 4, 4\)",
        ),
        ({"observations": np.zeros((3, 0))}, r"got \(3, 0\)"),
        ({"actions": np.array([["a"]] * 3)}, "expected actions"),
        ({"terminations": [0, 2, 0]}, "terminations at step 1: expected 0 or 1, got 2"),
        ({"dones": [0, np.nan, 0]}, "dones at step 1: expected 0 or 1, got nan"),
        ({"truncations": [[0], [0], [1]]}, r"expected truncations \(steps,\) of flags"),
        ({"final_observation": [0.0, 0.0]}, "expected a final observation of shape"),
        ({"final_observation": [np.inf]}, r"final_observation, number 0: .*got inf"),
        ({"observations": np.zeros((0, 1)), "actions": np.zeros((0, 1))}, "at least one step, got none"),
    ],
)
def test_what_is_no_episode_is_refused_by_place_and_step(arrays, message):
    whole = {"observations": np.zeros((3, 1)), "actions": np.zeros((3, 1))} | arrays
    with pytest.raises(SegmentError, match=message):
        Episode(**{name: np.asarray(values) for name, values in whole.items()}, place="file, demo_7")
