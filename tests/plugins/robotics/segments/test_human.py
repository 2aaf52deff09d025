"""Archives of human comparisons: the shipped ones, and damaged ones."""

import numpy as np
import pytest
from tests.plugins.robotics.conftest import DATA

from prefalign.interfaces import PrefalignError
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.human import read_comparisons
from prefalign_robotics.segments.segments import frame_groups


@pytest.mark.parametrize(("task", "decided", "second"), [("can", 66, 42), ("square", 72, 31)])
def test_the_shipped_labels_are_those_of_a_hundred_distinct_pairs(task, decided, second):
    segments, comparisons = read_comparisons(DATA / f"{task}.npz")
    assert (len(segments), segments.steps, segments.observations.shape[2], segments.actions.shape[2]) == (
        200,
        50,
        53,
        7,
    )
    assert int(comparisons.decided.sum()) == decided
    assert int((comparisons.labels == 1).sum()) == second
    assert len(np.unique(frame_groups(segments, comparisons.pairs))) == 36
    both = np.concatenate(
        [segments.observations[comparisons.pairs[:, 0]], segments.observations[comparisons.pairs[:, 1]]], 2
    )
    assert len(np.unique(both.reshape(100, -1), axis=0)) == 100


def test_shipped_files_go_by_name():
    assert len(read_comparisons("shipped:can")[1]) == 100
    with pytest.raises(PrefalignError, match=r"did you mean .can"):
        read_comparisons("shipped:cam")


def arrays(count=3):
    values = np.random.default_rng(0).standard_normal((count, 4, 2)).astype(np.float32)
    return {"obs_1": values, "obs_2": -values, "action_1": values, "action_2": -values, "label": np.array([0, 1, 0.5])}


def test_labels_say_that_the_second_is_better(tmp_path):
    np.savez(tmp_path / "a.npz", **arrays())
    segments, comparisons = read_comparisons(tmp_path / "a.npz")
    assert comparisons.labels.tolist() == [0, 1, 0.5]
    assert comparisons.pairs.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert np.array_equal(segments.observations[3:], -segments.observations[:3])
    assert segments.name == "a"


def test_a_target_needs_no_labels(tmp_path):
    found = arrays()
    del found["label"]
    np.savez(tmp_path / "a.npz", **found)
    assert not read_comparisons(tmp_path / "a.npz")[1].decided.any()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda a: a.pop("obs_2"), "no array 'obs_2'"),
        (lambda a: a.update(obs_2=a["obs_2"][:, :3]), "obs_1 and obs_2 of one shape"),
        (lambda a: a.update(label=np.array([0.0, 1.0])), "a label for each of 3 pairs"),
        (lambda a: a.update(label=np.array([0.0, 1.0, 7.0])), "pair 2 has 7"),
        (lambda a: a.update(obs_1=a["obs_1"] * np.nan), "not finite"),
        (lambda a: a.update(obs_1=np.array([{}, {}, {}], dtype=object)), "without pickle, which is refused"),
    ],
)
def test_other_archives_are_refused(tmp_path, change, complaint):
    found = arrays()
    change(found)
    np.savez(tmp_path / "a.npz", **found)
    with pytest.raises(SegmentError, match=complaint):
        read_comparisons(tmp_path / "a.npz")


def test_damaged_absent_and_single_files_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", **arrays())
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("no archive")
    np.save(tmp_path / "one.npy", arrays()["obs_1"])
    for name, complaint in (
        ("cut.npz", "damaged"),
        ("text.npz", "pickle"),
        ("one.npy", "single array"),
        ("no.npz", "no such"),
    ):
        with pytest.raises(SegmentError, match=complaint):
            read_comparisons(tmp_path / name)
