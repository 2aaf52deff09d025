"""HDF5 files give their own numbers, and nothing from elsewhere."""

import h5py
import numpy as np
import pytest

from prefalign_robotics.readers.hdf5 import open_hdf5
from prefalign_robotics.segments.errors import SegmentError


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "set.hdf5"
    with h5py.File(path, "w") as file:
        file["obs/a"] = np.arange(6.0).reshape(3, 2)
        file["obs/b"] = np.arange(3)
        file["obs/short"] = np.arange(2)
        file["obs/picture"] = np.zeros((3, 4, 4, 3), np.uint8)
        file["names"] = np.array([b"x", b"y"])
        file["obs"].attrs["num_samples"] = 3
        file["obs/empty"] = h5py.Empty("f")
    return path


def test_arrays_stand_side_by_side_in_the_order_of_the_keys(path):
    with open_hdf5(path) as file:
        assert file.matrix("obs", ("b", "a")).tolist() == [[0, 0, 1], [1, 2, 3], [2, 4, 5]]
        assert file.matrix("obs", ("a",), slice(1, 2)).tolist() == [[2, 3]]
        assert file.matrix("obs/a", None).tolist() == [[0, 1], [2, 3], [4, 5]]
        assert file.texts("names") == ["x", "y"]
        assert file.attribute("obs", "num_samples") == 3
        assert file.attribute("obs", "other") is None
        assert file.has("obs/a")
        assert not file.has("obs/c")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f.read("obs/c"), r"set.hdf5: 'obs/c': there is none; obs holds a, b"),
        (lambda f: f.read("obs"), "expected an array, got a group of a, b"),
        (lambda f: f.read("obs/picture"), "no pictures or texts"),
        (lambda f: f.read("obs/empty"), "'obs/empty'"),
        (lambda f: f.read("names"), "no pictures or texts"),
        (lambda f: f.read("obs/a/deeper"), "'obs/a/deeper': there is none"),
        (lambda f: f.matrix("obs", ("a", "nope")), "no key 'nope'; it holds a, b"),
        (lambda f: f.matrix("obs", ("a", "short")), "expected 3 steps as under 'obs/a', got 2"),
        (lambda f: f.matrix("obs", None), "choose some of a, b"),
        (lambda f: f.matrix("obs/a", ("a",)), "no keys"),
        (lambda f: f.names("names"), "expected a group"),
        (lambda f: f.texts("obs/a"), "expected a list of texts"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(path, call, message):
    with open_hdf5(path) as file, pytest.raises(SegmentError, match=message):
        call(file)


@pytest.fixture
def elsewhere(tmp_path):
    path = tmp_path / "secret.hdf5"
    with h5py.File(path, "w") as file:
        file["numbers"] = np.ones((3, 2))
        file["group/numbers"] = np.ones((3, 2))
    return path


def test_links_out_of_the_file_are_refused(path, elsewhere):
    with h5py.File(path, "a") as file:
        file["obs/out"] = h5py.ExternalLink("secret.hdf5", "numbers")
        file["through"] = h5py.ExternalLink("secret.hdf5", "group")
        file["soft"] = h5py.SoftLink("/through/numbers")
        layout = h5py.VirtualLayout((3, 2), "f8")
        layout[:] = h5py.VirtualSource(str(elsewhere), "numbers", (3, 2))
        file.create_virtual_dataset("virtual", layout)
    with open_hdf5(path) as file:
        assert file.has("obs/out")
        for key in ("obs/out", "through/numbers"):
            with pytest.raises(SegmentError, match="a link that leads to another file"):
                file.read(key)
        with pytest.raises(SegmentError, match=r"'soft': a link that leads elsewhere \('/through/numbers'\)"):
            file.read("soft")
        with pytest.raises(SegmentError, match="'virtual': its numbers lie in other files"):
            file.read("virtual")


def test_external_storage_is_refused(path, tmp_path):
    (tmp_path / "raw.bin").write_bytes(np.ones(6).tobytes())
    with h5py.File(path, "a") as file:
        file.create_dataset("raw", (3, 2), "f8", external=[(str(tmp_path / "raw.bin"), 0, 48)])
    with open_hdf5(path) as file, pytest.raises(SegmentError, match="'raw': its numbers lie in other files"):
        file.read("raw")


def test_more_numbers_than_a_file_can_hold_are_refused(path):
    with h5py.File(path, "a") as file:
        file.create_dataset("bomb", (10**10, 100), "f8", chunks=(1000, 100), compression="gzip")
    with open_hdf5(path) as file, pytest.raises(SegmentError, match="'bomb': declares 8000000000000 bytes and holds 0"):
        file.read("bomb")


def test_damaged_files_are_named(path, tmp_path):
    with pytest.raises(SegmentError, match=r"none\.hdf5: no such file"), open_hdf5(tmp_path / "none.hdf5"):
        pass
    whole = path.read_bytes()
    for damaged in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(SegmentError, match=r"set\.hdf5: damaged, or no HDF5 file"), open_hdf5(path):
            pass


def test_names_that_are_no_unicode_are_refused(path):
    with h5py.File(path, "a") as file:
        file.create_group(b"obs/\xff")
    with open_hdf5(path) as file:
        with pytest.raises(SegmentError, match=r"'obs': damaged \(the name b'\\xff'\)"):
            file.names("obs")
        with pytest.raises(SegmentError, match="'obs/c': "):
            file.read("obs/c")


def test_damaged_chunks_are_named_by_key(tmp_path):
    path = tmp_path / "set.hdf5"
    values = np.random.default_rng(0).standard_normal((500, 4))
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=values, chunks=(100, 4), compression="gzip")
        at = file["a"].id.get_chunk_info(2).byte_offset
    content = bytearray(path.read_bytes())
    content[at : at + 64] = bytes(64)
    path.write_bytes(content)
    with open_hdf5(path) as file:
        with pytest.raises(SegmentError, match=r"set\.hdf5: 'a': damaged"):
            file.read("a")
        assert np.array_equal(file.read("a", slice(0, 100)), values[:100])
