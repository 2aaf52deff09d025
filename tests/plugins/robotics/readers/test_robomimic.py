"""Files in robomimic's layout: demonstrations by number, observations by the keys asked for."""

import json

import h5py
import numpy as np
import pytest

from prefalign_robotics.readers.robomimic import read_robomimic
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.store import write_store

STEPS = {"demo_10": 4, "demo_2": 3, "demo_0": 5}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "low_dim.hdf5"
    generator = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(STEPS.values())
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "type": 1})
        for name, steps in STEPS.items():
            demo = data.create_group(name)
            demo.attrs["num_samples"] = steps
            demo["actions"] = generator.standard_normal((steps, 7))
            demo["rewards"] = np.eye(steps)[-1]
            demo["dones"] = np.eye(steps, dtype=np.int64)[-1]
            demo["states"] = generator.standard_normal((steps, 32))
            seen = {
                "object": generator.standard_normal((steps + 1, 10)),
                "eef": generator.standard_normal((steps + 1, 3)),
            }
            for key, values in seen.items():
                demo[f"obs/{key}"], demo[f"next_obs/{key}"] = values[:-1], values[1:]
            demo["obs/agentview_image"] = np.zeros((steps, 8, 8, 3), np.uint8)
        file["mask/train"] = np.array([b"demo_10", b"demo_0"])
        file["mask/bad"] = np.array([b"demo_1"])
    return path


def test_demonstrations_come_in_the_order_of_their_numbers(path):
    episodes = list(read_robomimic(path, ("eef", "object")))
    assert [(e.id, len(e)) for e in episodes] == [("demo_0", 5), ("demo_2", 3), ("demo_10", 4)]
    with h5py.File(path) as file:
        demo = file["data/demo_2"]
        side_by_side = np.concatenate([demo["obs/eef"], demo["obs/object"]], 1).astype(np.float32)
        assert np.array_equal(episodes[1].observations, side_by_side)
        last = np.concatenate([demo["next_obs/eef"][-1], demo["next_obs/object"][-1]]).astype(np.float32)
        assert np.array_equal(episodes[1].final_observation, last)
        assert np.array_equal(episodes[1].actions, demo["actions"][()].astype(np.float32))
    assert episodes[1].rewards.tolist() == [0, 0, 1]
    assert episodes[1].dones.tolist() == [False, False, True]


def test_the_order_of_the_keys_is_kept(path):
    first, second = (next(read_robomimic(path, keys)) for keys in (("eef", "object"), ("object", "eef")))
    assert np.array_equal(first.observations[:, :3], second.observations[:, 10:])


def test_the_whole_state_can_be_read(path):
    episode = next(read_robomimic(path, ("states",)))
    assert episode.observations.shape == (5, 32)
    assert episode.final_observation is None


def test_a_mask_chooses_demonstrations(path):
    assert [e.id for e in read_robomimic(path, ("eef",), mask="train")] == ["demo_0", "demo_10"]
    with pytest.raises(SegmentError, match="'mask/bad': names 'demo_1'"):
        list(read_robomimic(path, ("eef",), mask="bad"))
    with pytest.raises(SegmentError, match="'mask/test': there is none; mask holds bad, train"):
        list(read_robomimic(path, ("eef",), mask="test"))


def test_demonstrations_fill_a_store(path, tmp_path):
    store = write_store(tmp_path / "store", read_robomimic(path, ("eef",)))
    assert store.segments(np.array([[0, 1, 3], [2, 0, 3]])).observations.shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f["data/demo_2"].pop("actions"), r"low_dim.hdf5: 'data/demo_2/actions': there is none"),
        (lambda f: f["data/demo_2"].attrs.modify("num_samples", 9), "'data/demo_2': num_samples is 9"),
        (lambda f: f["data/demo_2"].attrs.create("num_samples", [3, 3]), "'data/demo_2': num_samples is"),
        (lambda f: f.create_group("data/other"), "'data/other': expected groups demo_<number>"),
        (lambda f: f["data/demo_2/actions"].write_direct(np.full((3, 7), np.nan)), "demo_2: actions at step 0"),
        (lambda f: f.pop("data"), "'data': there is none"),
    ],
)
def test_damage_is_named_by_file_and_key(path, damage, message):
    with h5py.File(path, "a") as file:
        damage(file)
    with pytest.raises(SegmentError, match=message):
        list(read_robomimic(path, ("eef",)))


def test_keys_that_cannot_be_read_are_named(path):
    with pytest.raises(SegmentError, match="no key 'eyes'; it holds agentview_image, eef, object"):
        list(read_robomimic(path, ("eyes",)))
    with pytest.raises(SegmentError, match=r"agentview_image': expected numbers .*no pictures"):
        list(read_robomimic(path, ("agentview_image",)))
    with pytest.raises(SegmentError, match="choose some of agentview_image, eef, object"):
        list(read_robomimic(path, ()))


def test_a_demonstration_in_another_file_is_refused(path, tmp_path):
    (tmp_path / "other.hdf5").write_bytes(path.read_bytes())
    with h5py.File(path, "a") as file:
        file["data/demo_11"] = h5py.ExternalLink("other.hdf5", "data/demo_0")
    with pytest.raises(SegmentError, match="'data/demo_11': a link that leads to another file"):
        list(read_robomimic(path, ("eef",)))
