"""Records to steps and anchors."""

import dataclasses

import numpy as np
import pytest
import torch
from tests.plugins.robotics.rewards.alignment.conftest import record, trajectory

from prefalign.data.sources import open_records
from prefalign.data.store import write_records
from prefalign.interfaces import PrefalignError, Ranking, RecordError, Response
from prefalign_robotics.rewards.alignment.codec import StepsCodec

A, B, C = trajectory([1, 2], [3, 4], [5, 6]), trajectory([7, 8]), trajectory([9, 9], [8, 8])


def test_responses_come_first_and_point_to_the_anchor_of_their_record():
    codec = StepsCodec("observations", 2)
    records = [record(A, B, C, name="x"), record(B, A, C, trajectory([0, 1]), name="y", verdict=Ranking((0, 1, 1)))]
    batch = codec.collate([codec.encode(one) for one in records])
    assert batch.inputs["steps"].shape == (7, 3, 2)
    assert batch.inputs["anchor"].tolist() == [5, 5, 6, 6, 6]
    assert batch.inputs["mask"].sum(1).tolist() == [1, 2, 3, 2, 1, 3, 1]
    assert batch.inputs["steps"][5].tolist() == A.arrays["observations"].tolist()
    assert batch.inputs["steps"][6].tolist() == [[7, 8], [0, 0], [0, 0]]
    assert batch.relations.record.tolist() == [0, 0, 1, 1, 1]
    assert len(set(batch.keys)) == 5


def test_keys_follow_the_content_of_row_and_anchor():
    codec = StepsCodec("observations", 2)
    first, second = (codec.collate([codec.encode(record(anchor, B, C))]).keys for anchor in (A, trajectory([1, 1])))
    assert codec.collate([codec.encode(record(A, B, C, name="other"))]).keys == first
    assert set(first).isdisjoint(second)


def test_without_anchors_only_responses_are_read():
    codec = StepsCodec("observations", 2, anchored=False)
    batch = codec.collate([codec.encode(record(None, A, B))])
    assert batch.inputs["steps"].shape == (2, 3, 2)
    assert "anchor" not in batch.inputs


def test_every_second_step():
    codec = StepsCodec("observations", 2, every=2)
    found = codec.encode(record(A, A, B))
    assert found.rows[0].values.tolist() == found.anchor.values.tolist() == [[1, 2], [5, 6]]
    assert codec.fingerprint() != StepsCodec("observations", 2).fingerprint()


def test_triplets_are_stored_and_read_again(tmp_path):
    write_records([record(A, B, C)], tmp_path / "triplets.parquet")
    (read,) = open_records(str(tmp_path / "triplets.parquet"))
    codec = StepsCodec("observations", 2)
    assert read.reference_answer == A
    assert torch.equal(codec.encode(read).anchor.values, torch.from_numpy(A.arrays["observations"]))


def with_observations(values):
    return Response(arrays={"observations": values})


@pytest.mark.parametrize(
    ("made", "field", "problem"),
    [
        (record(None, A, B), "reference_answer", "expected an anchor"),
        (record(with_observations(np.zeros((2, 3))), A, B), "reference_answer.arrays.observations", r"got \(2, 3\)"),
        (record(A, B, with_observations(np.zeros((0, 2)))), r"responses\[1\].arrays.observations", "at least one step"),
        (record(A, with_observations(np.array([["a", "b"]])), B), r"responses\[0\]", "real numbers"),
        (record(A, with_observations(np.array([[0, 1], [np.nan, 0]])), B), r"responses\[0\]", "number 0 at step 1"),
        (record(A, with_observations(np.full((1, 2), 1e300)), B), r"responses\[0\]", "no finite float32"),
        (record(A, Response(arrays={"frames": np.zeros((1, 2))}), B), r"responses\[0\]", r"there are \['frames'\]"),
    ],
)
def test_what_cannot_be_read_is_refused_by_record_and_field(made, field, problem):
    with pytest.raises(RecordError, match=f"'r'.*{field}.*{problem}"):
        StepsCodec("observations", 2).encode(made)


def test_arrays_are_copied_and_left_as_they_are():
    values = np.arange(4.0).reshape(2, 2)
    values.flags.writeable = False
    example = StepsCodec("observations", 2).encode(record(with_observations(values), A, B))
    example.anchor.values.add_(1)
    assert values[0, 0] == 0


def test_sizes():
    for options in ({"size": 0}, {"size": 2, "every": 0}):
        with pytest.raises(PrefalignError, match="of at least 1, got 0"):
            StepsCodec("observations", **options)
    assert dataclasses.is_dataclass(StepsCodec("observations", 2).encode(record(A, B, C)))
