"""Folders in LeRobot's layouts 2.1 and 3.0, low-dimensional columns only."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefalign_robotics.readers.lerobot import read_lerobot
from prefalign_robotics.segments.errors import SegmentError

LENGTHS = (4, 2, 5, 1)
PATHS = {
    "v3.0": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
    "v2.1": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
}


def number(shape, dtype="float32"):
    return {"dtype": dtype, "shape": shape, "names": None}


FEATURES = {
    "observation.state": number([3]),
    "observation.environment_state": number([1]),
    "observation.images.top": number([8, 8, 3], "video"),
    "action": number([2]),
    "next.reward": number([1]),
    "next.done": number([1], "bool"),
    "timestamp": number([1]),
    **{name: number([1], "int64") for name in ("frame_index", "episode_index", "index", "task_index")},
}


def make_table():
    generator = np.random.default_rng(0)
    total = sum(LENGTHS)
    frames = np.concatenate([np.arange(length) for length in LENGTHS])
    episodes = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    state = generator.standard_normal(total * 3).astype(np.float32)
    action = generator.standard_normal((total, 2)).astype(np.float32)
    return pa.table(
        {
            "observation.state": pa.FixedSizeListArray.from_arrays(pa.array(state), 3),
            "observation.environment_state": np.arange(total, dtype=np.float32),
            "action": pa.array(list(action)),  # lists that are not fixed in size
            "next.reward": generator.standard_normal(total).astype(np.float32),
            "next.done": frames == np.array(LENGTHS)[episodes] - 1,
            "timestamp": frames / 10,
            "frame_index": frames,
            "episode_index": episodes,
            "index": np.arange(total),
            "task_index": np.zeros(total, np.int64),
        }
    )


def write(folder, version="v3.0", table=None, files=((0, 0, 6), (0, 1, 6)), **facts):
    """Files of (chunk, number, rows); two episodes each by default."""
    table = make_table() if table is None else table
    info = {
        "codebase_version": version,
        "fps": 10,
        "total_episodes": len(LENGTHS),
        "total_frames": sum(LENGTHS),
        "data_path": PATHS[version],
        "features": FEATURES,
    }
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps(info | facts))
    start = 0
    for chunk, index, rows in files:
        name = PATHS[version].format(chunk_index=chunk, file_index=index, episode_chunk=chunk, episode_index=index)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.slice(start, rows), folder / name, row_group_size=3)
        start += rows
    return folder


def check(episodes, table):
    assert [len(e) for e in episodes] == list(LENGTHS)
    assert [e.id for e in episodes] == ["0", "1", "2", "3"]
    state = np.array(table["observation.state"].to_pylist(), np.float32)
    assert np.array_equal(np.concatenate([e.observations for e in episodes]), state)
    assert np.array_equal(np.concatenate([e.actions for e in episodes]), np.array(table["action"].to_pylist(), "f4"))
    assert np.array_equal(np.concatenate([e.rewards for e in episodes]), table["next.reward"].to_numpy())
    assert np.array_equal(np.concatenate([e.dones for e in episodes]), table["next.done"].to_numpy())
    assert episodes[0].final_observation is None


def test_version_3_holds_many_episodes_in_a_file(tmp_path):
    check(list(read_lerobot(write(tmp_path / "set"))), make_table())


def test_version_2_holds_one_episode_in_a_file(tmp_path):
    files = [(0, number, length) for number, length in enumerate(LENGTHS)]
    check(list(read_lerobot(write(tmp_path / "set", "v2.1", files=files))), make_table())


def test_files_are_read_by_number_and_an_episode_may_go_on_in_the_next(tmp_path):
    files = ((999, 999, 3), (999, 1000, 5), (1000, 0, 4))
    check(list(read_lerobot(write(tmp_path / "set", files=files))), make_table())


def test_small_batches_give_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("prefalign_robotics.readers.lerobot._ROWS", 2)
    check(list(read_lerobot(write(tmp_path / "set"))), make_table())


def test_keys_stand_side_by_side_in_their_order(tmp_path):
    folder = write(tmp_path / "set")
    episodes = list(read_lerobot(folder, ("observation.environment_state", "observation.state")))
    assert episodes[1].observations.shape == (2, 4)
    assert episodes[1].observations[:, 0].tolist() == [4, 5]


def test_rewards_and_ends_may_be_absent(tmp_path):
    features = {name: f for name, f in FEATURES.items() if not name.startswith("next.")}
    table = make_table().drop_columns(["next.reward", "next.done"])
    episode = next(read_lerobot(write(tmp_path / "set", table=table, features=features)))
    assert episode.rewards is None
    assert episode.dones is None


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"codebase_version": "v1.6"}, "expected codebase_version v2.1 or v3.0, got 'v1.6'"),
        ({"features": {"action": number([2])}}, "no feature 'observation.state'; there are action"),
        ({"features": FEATURES | {"observation.state": number([8, 8, 3], "image")}}, r"is image \[8, 8, 3\]"),
        ({"features": ["action"]}, "expected an object of features"),
        ({"data_path": "../../{chunk_index}.parquet"}, "expected a data_path data/chunk-"),
        ({"total_episodes": 5}, r"holds 4 by total_episodes, but .*info.json says 5"),
        ({"total_frames": "12"}, "expected a whole number under 'total_frames', got '12'"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(tmp_path, facts, message):
    with pytest.raises(SegmentError, match=message):
        list(read_lerobot(write(tmp_path / "set", **facts)))


def test_no_key_and_no_description_are_refused(tmp_path):
    with pytest.raises(SegmentError, match=r"info\.json: no such file"):
        list(read_lerobot(tmp_path))
    with pytest.raises(SegmentError, match="at least one key"):
        list(read_lerobot(write(tmp_path / "set"), ()))


def changed(name, row, value):
    table = make_table()
    values = table[name].to_pylist()
    values[row] = value
    return table.set_column(table.column_names.index(name), name, pa.array(values))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (make_table().drop_columns(["action"]), r"file-000.parquet: no column 'action'"),
        (changed("action", 7, [float("nan"), 0.0]), r"file-001.parquet, episode 2: actions at step 1, number 0"),
        (changed("action", 7, [0.0]), r"file-001.parquet, 'action': expected lists of one length"),
        (changed("observation.state", 1, None), "'observation.state': row 1 is empty"),
        (changed("frame_index", 5, 7), r"episode 1, step 1: expected frame_index 1, got 7"),
        (changed("index", 5, 7), r"episode 1, step 1: expected index 5, got 7"),
        (
            make_table().set_column(8, "index", pa.array(np.arange(sum(LENGTHS)) + 1)),
            r"episode 0, step 0: expected index 0, got 1",
        ),
        (make_table().slice(4), "episode 1: expected episode_index 0 next, got 1; is a file missing"),
    ],
)
def test_damaged_columns_are_named_by_file_and_step(tmp_path, table, message):
    with pytest.raises(SegmentError, match=message):
        list(read_lerobot(write(tmp_path / "set", table=table)))


def test_damaged_files_are_named(tmp_path):
    folder = write(tmp_path / "set")
    path = folder / "data" / "chunk-000" / "file-001.parquet"
    whole = path.read_bytes()
    for damaged in (b"", whole[:-20], whole[:4] + bytes(200) + whole[204:]):
        path.write_bytes(damaged)
        with pytest.raises(SegmentError, match=r"file-001\.parquet: damaged"):
            list(read_lerobot(folder))
    path.unlink()
    with pytest.raises(SegmentError, match="holds 2 by total_episodes"):
        list(read_lerobot(folder))
    path.with_name("file-000.parquet").unlink()
    with pytest.raises(SegmentError, match=r"there is no chunk-\*/\*\.parquet file"):
        list(read_lerobot(folder))


def test_links_out_of_the_folder_are_refused(tmp_path):
    folder = write(tmp_path / "set")
    path, away = folder / "data" / "chunk-000" / "file-001.parquet", tmp_path / "blob"
    path.rename(away)
    path.symlink_to(away)
    with pytest.raises(SegmentError, match=r"file-001\.parquet: leads out of the data set's folder"):
        list(read_lerobot(folder))
