"""Records to padded trajectories."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.plugins.robotics.rewards.conftest import record, trajectory

from prefalign.interfaces import PrefalignError, RecordError, Response
from prefalign_robotics.rewards.codec import TrajectoryCodec


def test_rows_are_padded_after_their_end(records):
    codec = TrajectoryCodec(3, 2)
    batch = codec.collate([codec.encode(one) for one in records])
    lengths = [2, 5, 3, 6, 4, 7]
    assert batch.inputs["observations"].shape == (6, 7, 3)
    assert batch.inputs["actions"].shape == (6, 7, 2)
    assert batch.inputs["mask"].sum(1).tolist() == lengths
    for row, length in enumerate(lengths):
        arrays = records[row // 2].responses[row % 2].arrays
        assert batch.inputs["mask"][row, :length].all()
        for name in ("observations", "actions"):
            assert batch.inputs[name].dtype == torch.float32
            assert np.array_equal(batch.inputs[name][row, :length].numpy(), arrays[name])
            assert not batch.inputs[name][row, length:].any()
    assert batch.relations.chosen.tolist() == [0, 2, 4]


def test_every_keeps_the_first_of_so_many_steps():
    codec, one = TrajectoryCodec(3, 2, every=3), record(trajectory(7, 0), trajectory(3, 1))
    first, second = codec.encode(one).rows
    assert np.array_equal(first.observations.numpy(), one.responses[0].arrays["observations"][[0, 3, 6]])
    assert np.array_equal(first.actions.numpy(), one.responses[0].arrays["actions"][[0, 3, 6]])
    assert len(second.actions) == 1


def test_keys_follow_the_contents():
    codec = TrajectoryCodec(3, 2)
    same = (
        codec.encode(record(trajectory(4, 0), trajectory(4, 1))),
        codec.encode(record(trajectory(4, 0), trajectory(4, 2))),
    )
    assert same[0].rows[0].key == same[1].rows[0].key
    assert len({row.key for example in same for row in example.rows}) == 3
    other = Response(arrays={**trajectory(4, 0).arrays, "actions": trajectory(4, 3).arrays["actions"]})
    assert codec.encode(record(other, trajectory(4, 1))).rows[0].key != same[0].rows[0].key
    # The same bytes in another shape are another trajectory.
    flat, keys = np.arange(9, dtype=np.float32), set()
    for steps, width in ((3, 2), (1, 6)):
        arrays = {"observations": flat[:6].reshape(steps, width), "actions": flat[6:].reshape(steps, width // 2)}
        one = record(Response(arrays=arrays), trajectory(1, 0, width, width // 2))
        keys.add(TrajectoryCodec(width, width // 2).encode(one).rows[0].key)
    assert len(keys) == 2


def test_fingerprints_differ_in_every_setting():
    codecs = [TrajectoryCodec(3, 2), TrajectoryCodec(2, 3), TrajectoryCodec(3, 2, 2), TrajectoryCodec(3, 2, 1, 9)]
    assert len({codec.fingerprint() for codec in codecs}) == 4
    assert TrajectoryCodec(3, 2).fingerprint() == codecs[0].fingerprint()
    assert pickle.loads(pickle.dumps(codecs[3])).fingerprint() == codecs[3].fingerprint()


def test_encoded_tensors_are_writable_copies():
    one = record(trajectory(4, 0), trajectory(4, 1))
    one.responses[0].arrays["observations"].setflags(write=False)
    TrajectoryCodec(3, 2).encode(one).rows[0].observations.add_(1)
    assert one.responses[0].arrays["observations"][0, 0] != 1 + one.responses[0].arrays["observations"][0, 0]


def bad(**changes):
    arrays = {"observations": np.zeros((4, 3), np.float32), "actions": np.zeros((4, 2), np.float32)}
    return {name: value for name, value in {**arrays, **changes}.items() if value is not None}


BAD = {
    "no observations": (bad(observations=None), "observations", r"shape \(steps, 3\); there are \['actions'\]"),
    "no actions": (bad(actions=None), "actions", r"shape \(steps, 2\)"),
    "another width": (bad(observations=np.zeros((4, 5))), "observations", r"got \(4, 5\)"),
    "flat": (bad(actions=np.zeros(8)), "actions", r"got \(8,\)"),
    "no step": (bad(observations=np.zeros((0, 3)), actions=np.zeros((0, 2))), "observations", "at least one step"),
    "one observation more": (bad(observations=np.zeros((5, 3))), None, "5 and 4; an observation after the last"),
    "NaN": (bad(actions=np.array([[0, 0], [0, np.nan]] * 2)), "actions", "number 1 at step 1 is nan.*2 such values"),
    "too large for float32": (bad(observations=np.full((4, 3), 1e300)), "observations", "number 0 at step 0 is 1e"),
    "complex": (bad(actions=np.zeros((4, 2), complex)), "actions", "complex128"),
    "text": (bad(actions=np.full((4, 2), "x")), "actions", "real numbers"),
    "objects": (bad(actions=np.full((4, 2), None)), "actions", "dtype object"),
    "truth values": (bad(actions=np.zeros((4, 2), bool)), "actions", "dtype bool"),
    "too long": (bad(observations=np.zeros((9, 3)), actions=np.zeros((9, 2))), None, "9 steps are kept.*8 at most"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_is_named(name):
    arrays, field, message = BAD[name]
    one = record(trajectory(4, 0), Response(arrays=arrays), name="the-id")
    with pytest.raises(RecordError, match=message) as caught:
        TrajectoryCodec(3, 2, max_steps=8).encode(one)
    assert caught.value.record_id == "the-id"
    assert caught.value.field == "responses[1].arrays" + (f".{field}" if field else "")


def test_every_counts_before_the_bound():
    codec = TrajectoryCodec(3, 2, every=3, max_steps=3)
    codec.encode(record(trajectory(9, 0), trajectory(7, 1)))
    with pytest.raises(RecordError, match="4 steps are kept"):
        codec.encode(record(trajectory(10, 0), trajectory(7, 1)))


SHAPES = st.just((4, 3)) | hnp.array_shapes(max_dims=3, max_side=5)


@given(hnp.arrays(st.sampled_from([np.float32, np.float64, np.int32, np.uint8]), SHAPES))
@settings(deadline=None, max_examples=80, derandomize=True)
def test_any_array_is_encoded_or_refused(values):
    one = record(trajectory(4, 0), Response(arrays={"observations": values, "actions": np.zeros((4, 2))}))
    if values.shape == (4, 3) and np.isfinite(values).all() and np.abs(values).max() < 3e38:
        row = TrajectoryCodec(3, 2).encode(one).rows[1]
        assert np.array_equal(row.observations.numpy(), values.astype(np.float32))
    else:
        with pytest.raises(RecordError, match=r"record 'r', field 'responses\[1\]"):
            TrajectoryCodec(3, 2).encode(one)


@pytest.mark.parametrize("options", [(0, 2), (3, 0), (3, 2, 0), (3, 2, 1, 0)])
def test_sizes_below_one_are_refused(options):
    with pytest.raises(PrefalignError, match="at least 1"):
        TrajectoryCodec(*options)
