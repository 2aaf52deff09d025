"""Folders in Minari's layouts, HDF5 and Arrow, with one more observation than actions."""

import json

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pytest

from prefalign_robotics.readers.minari import read_minari
from prefalign_robotics.segments.errors import SegmentError

LENGTHS = (4, 1, 3)


def make_arrays(number):
    generator = np.random.default_rng(number)
    steps = LENGTHS[number]
    ends = np.arange(steps) == steps - 1
    return {
        "seen": generator.standard_normal((steps + 1, 3)),
        "goal": generator.standard_normal((steps + 1, 2)),
        "actions": generator.standard_normal((steps, 2)).astype(np.float32),
        "rewards": generator.standard_normal(steps),
        "terminations": ends & (number != 1),
        "truncations": ends & (number == 1),
    }


def describe(data, layout):
    data.mkdir(parents=True)
    facts = {"total_episodes": len(LENGTHS), "total_steps": sum(LENGTHS), "data_format": layout}
    (data / "metadata.json").write_text(json.dumps(facts))


def write_hdf5(folder, nested):
    describe(folder / "data", "hdf5")
    with h5py.File(folder / "data" / "main_data.hdf5", "w", track_order=True) as file:
        for number in range(len(LENGTHS)):
            arrays = make_arrays(number)
            group = file.create_group(f"episode_{number}")
            group.attrs.update({"id": number, "total_steps": LENGTHS[number], "seed": 7})
            seen, goal = arrays.pop("seen"), arrays.pop("goal")
            for name, values in arrays.items():
                group.create_dataset(name, data=values, chunks=True, maxshape=(None, *values.shape[1:]))
            if nested:
                group["observations/seen"], group["observations/goal"] = seen, goal
            else:
                group["observations"] = seen
            infos = group.create_dataset("infos", (LENGTHS[number] + 1,), h5py.string_dtype())
            infos[:] = ['{"success": false}'] * (LENGTHS[number] + 1)
    return folder


def lists(values):
    kind = pa.list_(pa.from_numpy_dtype(values.dtype), values.shape[1])
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), type=kind)


def write_arrow(folder, nested, layout="arrow"):
    data = folder / "data"
    describe(data, layout)
    for number in range(len(LENGTHS)):
        arrays = make_arrays(number)
        seen, goal = lists(arrays["seen"]), lists(arrays["goal"])
        batch = pa.RecordBatch.from_pydict(
            {
                "episode_id": np.full(LENGTHS[number] + 1, number, np.int32),
                "observations": pa.StructArray.from_arrays([seen, goal], names=["seen", "goal"]) if nested else seen,
                "actions": lists(np.pad(arrays["actions"], ((0, 1), (0, 0)))),
                **{name: np.pad(arrays[name], (0, 1)) for name in ("rewards", "terminations", "truncations")},
            }
        )
        pyarrow.dataset.write_dataset(
            batch, data, format=layout, partitioning=["episode_id"], existing_data_behavior="overwrite_or_ignore"
        )
        (data / str(number) / "metadata.json").write_text(json.dumps({"id": number, "total_steps": LENGTHS[number]}))
    return folder


WRITERS = {
    "hdf5": write_hdf5,
    "arrow": write_arrow,
    "parquet": lambda folder, nested: write_arrow(folder, nested, "parquet"),
}


@pytest.mark.parametrize("layout", WRITERS)
@pytest.mark.parametrize("nested", [False, True])
def test_the_last_observation_follows_the_last_action(tmp_path, layout, nested):
    folder = WRITERS[layout](tmp_path / "set", nested)
    keys = ("goal", "seen") if nested else None
    for root in (folder, folder / "data"):
        episodes = list(read_minari(root, keys))
        assert [len(e) for e in episodes] == list(LENGTHS)
        for number, episode in enumerate(episodes):
            arrays = make_arrays(number)
            seen = np.concatenate([arrays["goal"], arrays["seen"]], 1) if nested else arrays["seen"]
            assert np.array_equal(episode.observations, seen[:-1].astype(np.float32))
            assert np.array_equal(episode.final_observation, seen[-1].astype(np.float32))
            assert np.array_equal(episode.actions, arrays["actions"])
            assert np.array_equal(episode.rewards, arrays["rewards"].astype(np.float32))
            assert np.array_equal(episode.terminations, arrays["terminations"])
            assert np.array_equal(episode.truncations, arrays["truncations"])
            assert episode.id == str(number)


@pytest.mark.parametrize("layout", WRITERS)
def test_keys_are_asked_for_where_there_are_some_and_only_there(tmp_path, layout):
    nested = WRITERS[layout](tmp_path / "nested", True)
    plain = WRITERS[layout](tmp_path / "plain", False)
    for keys in (None, ()):
        with pytest.raises(SegmentError, match=r"choose some of (the keys )?(seen, goal|goal, seen)"):
            list(read_minari(nested, keys))
    with pytest.raises(SegmentError, match="no key 'eyes'; it holds"):
        list(read_minari(nested, ("eyes",)))
    with pytest.raises(SegmentError, match="no keys"):
        list(read_minari(plain, ("seen",)))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ("{", r"metadata.json: damaged"),
        ("[1]", "expected a JSON object, got list"),
        ('{"data_format": "hdf5"}', "expected a whole number under 'total_episodes', got None"),
        ('{"total_episodes": 3, "data_format": "zarr"}', "expected data_format hdf5, arrow or parquet, got 'zarr'"),
        ('{"total_episodes": 4}', r"main_data.hdf5: expected 4 episodes by metadata.json, got 3"),
        ('{"total_episodes": 2}', r"main_data.hdf5: expected 2 episodes by metadata.json, got 3"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(tmp_path, facts, message):
    folder = write_hdf5(tmp_path / "set", False)
    (folder / "data" / "metadata.json").write_text(facts)
    with pytest.raises(SegmentError, match=message):
        list(read_minari(folder))


def test_damaged_hdf5_is_named_by_key(tmp_path):
    folder = write_hdf5(tmp_path / "set", False)
    path = folder / "data" / "main_data.hdf5"
    with h5py.File(path, "a") as file:
        del file["episode_1/observations"]
        file["episode_1/observations"] = np.zeros((1, 3))
    with pytest.raises(SegmentError, match="episode_1: expected 2 observations, one more than actions, got 1"):
        list(read_minari(folder))
    with h5py.File(path, "a") as file:
        del file["episode_1/rewards"]
    with pytest.raises(SegmentError, match="'episode_1/rewards': there is none"):
        list(read_minari(folder))
    path.unlink()
    with pytest.raises(SegmentError, match=r"main_data\.hdf5: no such file"):
        list(read_minari(folder))


def test_damaged_arrow_is_named_by_file(tmp_path):
    folder = write_arrow(tmp_path / "set", False)
    path = folder / "data" / "1" / "part-0.arrow"
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], bytes(len(whole))):
        path.write_bytes(damaged)
        with pytest.raises(SegmentError, match=r"part-0\.arrow: damaged"):
            list(read_minari(folder))
    path.unlink()
    with pytest.raises(SegmentError, match=r"there is no \.arrow file in it"):
        list(read_minari(folder))


def rewrite(path, change):
    with pa.memory_map(str(path)) as source:
        columns = change(pa.ipc.open_file(source).read_all())
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, columns.schema) as writer:
        writer.write_table(columns)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["rewards"]), "episode 0: no column 'rewards'; it holds observations, actions"),
        (
            lambda t: t.set_column(2, "rewards", pa.array([None, 0.0, 0.0, 0.0, 0.0])),
            "episode 0, 'rewards': row 0 is empty",
        ),
        (
            lambda t: t.set_column(1, "actions", pa.array([[0.0], [], [0.0], [0.0], []])),
            "lists of one length, got 0 to 1",
        ),
        (lambda t: t.set_column(1, "actions", pa.array([[0.0, None]] * 5)), "gaps between its numbers"),
        (lambda t: t.set_column(1, "actions", pa.array(["x"] * 5)), "expected numbers or lists of numbers"),
        (lambda t: t.set_column(1, "actions", pa.array([[[0.0]]] * 5)), "no pictures"),
        (lambda t: t.slice(0, 1), "at least one step"),
        (lambda t: t.slice(0, 0), "expected 1 observations, one more than actions, got 0"),
    ],
)
def test_arrow_columns_that_do_not_fit_are_named(tmp_path, change, message):
    folder = write_arrow(tmp_path / "set", False)
    rewrite(folder / "data" / "0" / "part-0.arrow", change)
    with pytest.raises(SegmentError, match=message):
        list(read_minari(folder))


@pytest.mark.parametrize("name", ["1", "1/part-0.arrow", "metadata.json"])
def test_links_out_of_the_folder_are_refused(tmp_path, name):
    folder = write_arrow(tmp_path / "set", False)
    path, away = folder / "data" / name, tmp_path / "away"
    path.rename(away)
    path.symlink_to(away)
    with pytest.raises(SegmentError, match="leads out of the data set's folder"):
        list(read_minari(folder))
