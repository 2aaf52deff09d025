"""What a demonstration keeps is read back whole, or refused with the way out."""

import numpy as np
import pytest

from prefalign.interfaces import PrefalignError
from prefalign_robotics.demo.files import read_arrays, read_json, write_arrays, write_json

REFUSED = pytest.raises(PrefalignError, match=r"absent or damaged .*delete it")


def test_what_is_written_is_read(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1, "y": [0.5]})
    assert read_json(tmp_path / "a.json", ["x"]) == {"x": 1, "y": [0.5]}
    write_arrays(tmp_path / "a.npz", one=np.arange(3.0), two=np.eye(2))
    found = read_arrays(tmp_path / "a.npz", {"two": 2})
    assert np.array_equal(found["two"], np.eye(2))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.json", "a.npz"]


def test_figures_that_are_no_numbers_never_reach_a_file(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert read_json(tmp_path / "a.json", ["x"]) == {"x": 1}


@pytest.mark.parametrize("text", [b"", b"[1]", b'{"y": 1}', b'{"x": ', b"\xff"])
def test_damaged_json(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    with REFUSED:
        read_json(tmp_path / "a.json", ["x"])


def test_damaged_arrays(tmp_path):
    file = tmp_path / "a.npz"
    with REFUSED:
        read_arrays(file, {"x": 1})
    for arrays in ({"y": np.ones(2)}, {"x": np.eye(2)}, {"x": np.array([np.nan])}):
        write_arrays(file, **arrays)
        with REFUSED:
            read_arrays(file, {"x": 1})
    write_arrays(file, x=np.arange(2000.0))
    file.write_bytes(file.read_bytes()[:-200])
    with REFUSED:
        read_arrays(file, {"x": 1})


def test_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
    with REFUSED:
        read_arrays(tmp_path / "a.npz", {"x": 1})
