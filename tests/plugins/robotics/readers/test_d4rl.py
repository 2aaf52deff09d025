"""Files in D4RL's layout: flat arrays, cut into episodes by their flags."""

import h5py
import numpy as np
import pytest

from prefalign_robotics.readers.d4rl import read_d4rl
from prefalign_robotics.segments.errors import SegmentError

STEPS = 11


@pytest.fixture
def arrays():
    seen = np.arange(24.0).reshape(12, 2)
    terminals, timeouts = np.zeros(STEPS, bool), np.zeros(STEPS, np.uint8)
    terminals[3], timeouts[7] = True, 1
    return {
        "observations": seen[:-1],
        "next_observations": seen[1:] + 0.5,
        "actions": np.arange(STEPS, dtype=np.float32)[:, None],
        "rewards": np.arange(STEPS) / 10,
        "terminals": terminals,
        "timeouts": timeouts,
        "infos/qpos": np.zeros((STEPS, 5)),
    }


@pytest.fixture
def write(tmp_path, arrays):
    def write(**changed):
        path = tmp_path / "hopper.hdf5"
        with h5py.File(path, "w") as file:
            for key, values in (arrays | changed).items():
                if values is not None:
                    file[key] = values
        return path

    return write


def test_flags_end_episodes_and_the_last_may_be_cut(write, arrays):
    episodes = list(read_d4rl(write()))
    assert [len(e) for e in episodes] == [4, 4, 3]
    assert episodes[1].actions[:, 0].tolist() == [4, 5, 6, 7]
    assert episodes[1].observations.tolist() == arrays["observations"][4:8].tolist()
    assert episodes[1].final_observation.tolist() == arrays["next_observations"][7].tolist()
    assert [(e.terminations[-1], e.truncations[-1]) for e in episodes] == [(True, False), (False, True), (False, False)]
    assert not any(e.terminations[:-1].any() or e.truncations[:-1].any() for e in episodes)


def test_a_flag_at_the_last_step_leaves_no_empty_episode(write):
    ended = np.zeros(STEPS, bool)
    ended[-1] = True
    assert [len(e) for e in read_d4rl(write(terminals=ended, timeouts=~ended & ended))] == [11]


def test_without_timeouts_the_steps_of_the_environment_must_be_known(write):
    path = write(timeouts=None, next_observations=None)
    with pytest.raises(SegmentError, match="'timeouts': expected max_steps"):
        list(read_d4rl(path))
    episodes = list(read_d4rl(path, max_steps=4))
    assert [len(e) for e in episodes] == [4, 4, 3]
    assert [e.truncations[-1] for e in episodes] == [False, True, False]
    assert episodes[0].final_observation is None
    with pytest.raises(SegmentError, match="at least 1"):
        list(read_d4rl(path, max_steps=0))


def test_max_steps_beside_timeouts_is_refused(write):
    with pytest.raises(SegmentError, match="leave max_steps out"):
        list(read_d4rl(write(), max_steps=4))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"actions": None}, r"hopper.hdf5: 'actions': there is none"),
        ({"terminals": None}, "'terminals': there is none"),
        ({"rewards": np.zeros(10)}, "'rewards': expected 11 steps as under 'terminals', got 10"),
        ({"terminals": np.full(STEPS, 2)}, "'terminals': expected flags"),
        ({"observations": np.full((STEPS, 2), np.nan)}, r"episode 0 \(rows 0 to 4\): observations at step 0"),
        ({"observations": np.zeros((STEPS, 4, 4))}, "no pictures"),
    ],
)
def test_damage_is_named_by_key(write, changed, message):
    with pytest.raises(SegmentError, match=message):
        list(read_d4rl(write(**changed)))


def test_a_set_without_steps_is_refused(write, arrays):
    with pytest.raises(SegmentError, match="there is no step in it"):
        list(read_d4rl(write(**{name: values[:0] for name, values in arrays.items()})))
