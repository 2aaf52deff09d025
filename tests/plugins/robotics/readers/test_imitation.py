"""What `imitation` saves: trajectories in Arrow files, pairs of fragments as arrays, and no pickle."""

import pickle

import datasets
import numpy as np
import pyarrow as pa
import pytest

from prefalign.interfaces import Pair, RecordError
from prefalign_robotics.readers.imitation import open_fragments, read_trajectories
from prefalign_robotics.segments.errors import SegmentError

LENGTHS = (3, 5)


def trajectories():
    generator = np.random.default_rng(0)
    for number, steps in enumerate(LENGTHS):
        yield {
            "obs": generator.standard_normal((steps + 1, 2)),
            "acts": generator.standard_normal((steps, 1)),
            "infos": ["{}"] * steps,
            "terminal": number == 0,
            "rews": generator.standard_normal(steps),
        }


@pytest.fixture
def folder(tmp_path):
    """As imitation saves them: a data set of one row a trajectory."""
    rows = [{k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in row.items()} for row in trajectories()]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "rollouts"))
    return tmp_path / "rollouts"


def test_trajectories_come_back(folder):
    episodes = list(read_trajectories(folder))
    for row, episode in zip(trajectories(), episodes, strict=True):
        assert np.array_equal(episode.observations, row["obs"][:-1].astype(np.float32))
        assert np.array_equal(episode.final_observation, row["obs"][-1].astype(np.float32))
        assert np.array_equal(episode.actions, row["acts"].astype(np.float32))
        assert np.array_equal(episode.rewards, row["rews"].astype(np.float32))
    assert episodes[0].terminations.tolist() == [False, False, True]
    assert not episodes[0].truncations.any()
    assert episodes[1].truncations.tolist() == [False] * 4 + [True]
    assert not episodes[1].terminations.any()


def save(folder, **changed):
    rows = [{k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in row.items()} for row in trajectories()]
    rows[1].update(changed)
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as out, pa.ipc.new_stream(out, table.schema) as w:
        w.write_table(table)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"obs": [[0.0, 0.0]] * 5}, "row 1: expected one more observation than actions, got 5 and 5"),
        ({"acts": [[0.0]] * 4 + [[0.0, 1.0]]}, "row 1, 'acts': expected lists of one length"),
        ({"obs": [[0.0, float("inf")]] * 6}, "row 1: observations at step 0, number 1"),
        ({"acts": None}, "row 1, 'acts': expected a list, got None"),
        ({"terminal": None}, "'terminal': expected true or false, got None"),
    ],
)
def test_damage_is_named_by_file_and_row(tmp_path, changed, message):
    save(tmp_path, **changed)
    with pytest.raises(SegmentError, match=message):
        list(read_trajectories(tmp_path))


def test_offsets_beyond_the_file_are_not_followed(tmp_path):
    path, steps = tmp_path / "data.arrow", 12345
    table = pa.table({"terminal": [True], "obs": [[0.0] * (steps + 1)], "acts": [[0.0] * steps]})
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    head, offset, tail = path.read_bytes().rpartition(np.int32(steps).tobytes())
    assert len(offset) == 4
    path.write_bytes(head + np.int32(10**8).tobytes() + tail)
    with pytest.raises(SegmentError, match=r"data\.arrow: damaged"):
        list(read_trajectories(tmp_path))


def test_folders_that_hold_no_trajectories_are_refused(tmp_path, folder):
    with pytest.raises(SegmentError, match=r"there is no \.arrow file"):
        list(read_trajectories(tmp_path))
    (path,) = folder.glob("*.arrow")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SegmentError, match="damaged"):
        list(read_trajectories(folder))
    path.write_bytes(whole)
    path.rename(tmp_path / "away")
    path.symlink_to(tmp_path / "away")
    with pytest.raises(SegmentError, match="leads out of the data set's folder"):
        list(read_trajectories(folder))


@pytest.mark.parametrize("name", ["preferences.pkl", "rollouts.npz"])
def test_pickles_are_refused_with_a_way_out_and_never_loaded(tmp_path, name):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was loaded",))

    (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    for read in (lambda path: list(read_trajectories(path)), open_fragments):
        with pytest.raises(SegmentError, match=r"a pickle, .* numpy\.savez with obs_1, acts_1"):
            read(tmp_path / name)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFALIGN_CACHE", str(tmp_path / "cache"))


def save_pairs(path, axes=(2,)):
    generator = np.random.default_rng(0)
    arrays = {"preferences": np.array([1.0, 0.2, 0.5])}
    for side in (1, 2):
        arrays[f"obs_{side}"] = generator.standard_normal((3, 5, *axes))
        arrays[f"acts_{side}"] = generator.standard_normal((3, 4))
    np.savez(path, **arrays)
    return arrays


def test_fragments_lose_their_last_observation_and_the_first_is_preferred(tmp_path, cache):
    arrays = save_pairs(tmp_path / "pairs.npz")
    source = open_fragments(tmp_path / "pairs.npz")
    assert len(source) == 3
    assert source.name == "pairs.npz"
    assert [source[i].verdict for i in range(3)] == [Pair(0, 1, 1.0), Pair(1, 0, 0.8), Pair(0, 1, 0.5, tie=True)]
    second = source[1].responses[1].arrays
    assert np.array_equal(second["observations"], arrays["obs_2"][1, :-1].astype(np.float32))
    assert np.array_equal(second["actions"], arrays["acts_2"][1][:, None].astype(np.float32))
    assert second.keys() == {"observations", "actions"}
    assert pickle.loads(pickle.dumps(source))[1].responses == source[1].responses


def test_fragments_of_pictures_are_refused(tmp_path, cache):
    save_pairs(tmp_path / "pairs.npz", axes=(4, 4))
    with pytest.raises(RecordError, match=r"observations.*expected observations \(steps, numbers\)"):
        open_fragments(tmp_path / "pairs.npz")[0]
