"""Corners that count from the end: of what was met so far, not of the file."""

import numpy as np
import pytest

from prefalign_mesh3d.mesh.errors import MeshFileError, Refusal
from prefalign_mesh3d.mesh.files import mesh_from_bytes
from prefalign_mesh3d.mesh.obj import with_absolute_corners

FIRST = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
SECOND = "v 0 0 5\nv 1 0 5\nv 0 1 5\n"


def test_two_objects_with_relative_corners():
    relative = f"{FIRST}f -3 -2 -1\n{SECOND}f -3 -2 -1\nf 1 -2 3\n"
    absolute = f"{FIRST}f 1 2 3\n{SECOND}f 4 5 6\nf 1 5 3\n"
    assert with_absolute_corners(relative.encode(), "name") == absolute.encode().rstrip(b"\n")
    found, expected = (mesh_from_bytes(text.encode(), "obj", "name") for text in (relative, absolute))
    np.testing.assert_array_equal(found.vertices, expected.vertices)
    np.testing.assert_array_equal(found.faces, expected.faces)


def test_each_kind_of_number_counts_its_own():
    text = b"v 0 0 0\nvt 0 0\nvt 1 1\nv 1 0 0\nvn 0 0 1\nv 0 1 0\nf -3/-2/-1 -2//-1 -1/2\n"
    assert with_absolute_corners(text, "name").splitlines()[-1] == b"f 1/1/1 2//1 3/2"


def test_lines_that_go_on():
    assert with_absolute_corners(f"{FIRST}f -3 \\\n-2 \\\r\n-1".encode(), "name").splitlines()[-1] == b"f 1 2 3"


@pytest.mark.parametrize(
    "text", ["f 1 2 3\nf 10 20 30", "v -1 0 -0\nvn 0 -1 0\ng f -1\nf 1/2 2/1 3/3", "", "\xff\nf 1"]
)
def test_files_without_relative_corners_are_not_touched(text):
    data = text.encode("latin-1")
    assert with_absolute_corners(data, "name") is data


@pytest.mark.parametrize("corner", ["0", "-4", "0/1", "-3/-1", "1/0"])
def test_corners_that_are_no_vertex(corner):
    with pytest.raises(MeshFileError, match=rf"the corner {corner} is no vertex: numbers begin with 1") as caught:
        with_absolute_corners(f"{FIRST}f {corner} -1 2".encode(), "name")
    assert caught.value.reason is Refusal.UNREADABLE


def test_a_zero_among_plain_corners():
    with pytest.raises(MeshFileError, match="the corner 0 is no vertex"):
        mesh_from_bytes(f"{FIRST}f 1 2 0".encode(), "obj", "name")
