"""Progress rises over a chunk by what the chunk's actions earn, scaled into [0, 1]."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from prefalign.interfaces import PrefalignError
from prefalign_robotics.exports.progress import progress, write_progress
from prefalign_robotics.segments.errors import SegmentError


def test_cumulated_rewards_by_hand():
    # Before each action 0 and 1, and the whole return 2 at the last frame; in the second episode 0, -1 and 1.5.
    first, second = progress([np.array([1.0, 3.0, -2.0]), np.array([-1.0, 0.5, 2.0])])
    assert first.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert second.tolist() == pytest.approx([1 / 3, 0, 2.5 / 3])


def test_cumulated_rewards_of_each_episode_by_itself():
    first, second = progress([np.array([1.0, 3.0, 4.0]), np.array([0.0, 0.0])], scale="episode")
    assert first.tolist() == pytest.approx([0.0, 1 / 8, 1.0])
    assert second.tolist() == [0.0, 0.0]


def test_a_success_at_the_last_step_alone_is_progress():
    (curve,) = progress([np.array([0.0, 0.0, 0.0, 1.0])])
    assert curve.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("chunk", [1, 3, 20])
def test_a_chunk_rises_by_what_its_actions_earn(chunk):
    rewards = np.random.default_rng(0).standard_normal(12)
    (curve,) = progress([rewards])
    held = np.append(np.cumsum(rewards)[:-2], [0, rewards.sum()])
    for start in range(11):
        # The last frame stands for all those beyond the end, and for the step that leads to the end.
        stop = start + chunk if start + chunk < 11 else 12
        rise = curve[min(start + chunk, 11)] - curve[start]
        assert rise == pytest.approx(rewards[start:stop].sum() / (held.max() - held.min()))


def test_a_constant_may_be_taken_from_learned_rewards():
    plain = [np.array([1.0, -1.0, 0.5, 0.1]), np.array([0.2, -0.8])]
    moved = [values - 7 for values in plain]
    assert (np.diff(progress(moved)[0]) < 0).all()
    for first, second in zip(progress(plain, centred=True), progress(moved, centred=True), strict=True):
        assert np.allclose(first, second)
    mean = np.concatenate(plain).mean()
    assert np.allclose(progress(plain, centred=True)[0], progress([values - mean for values in plain])[0])


def test_the_table_is_what_lerobot_reads(tmp_path):
    rewards = [np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0])]
    write_progress(tmp_path / "sarm_progress.parquet", rewards, reward_model="lift/reward")
    table = pq.read_table(tmp_path / "sarm_progress.parquet")
    assert table["index"].to_pylist() == [0, 1, 2, 3, 4]
    assert table["episode_index"].to_pylist() == [0, 0, 0, 1, 1]
    assert table["frame_index"].to_pylist() == [0, 1, 2, 0, 1]
    assert table["progress_sparse"].to_pylist() == [0, 0, 1, 0, 0]
    assert table["progress_dense"] == table["progress_sparse"]
    assert str(table.schema.field("progress_sparse").type) == "float"
    assert table.schema.metadata[b"reward_model_path"] == b"lift/reward"


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        ([], "at least one episode"),
        ([np.zeros(3), np.zeros(0)], r"episode 1: expected rewards \(steps,\) of at least one step"),
        ([np.zeros((3, 1))], r"got \(3, 1\) float64"),
        ([np.zeros(3), np.array([0.0, np.nan])], "episode 1, step 1: expected a finite reward, got nan"),
    ],
)
def test_rewards_that_are_none_are_refused(tmp_path, rewards, message):
    with pytest.raises(SegmentError, match=message):
        write_progress(tmp_path / "t.parquet", rewards)
    assert list(tmp_path.iterdir()) == []


def test_another_scale_is_refused():
    with pytest.raises(PrefalignError, match="unknown scale 'episodes'; did you mean 'episode'"):
        progress([np.zeros(3)], scale="episodes")
