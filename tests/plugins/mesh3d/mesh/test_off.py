"""OFF: headers as they are found, polygons, what follows vertices and faces, and files that say too much."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefalign_mesh3d.mesh.errors import MeshFileError, Refusal
from prefalign_mesh3d.mesh.off import fans, read_off
from prefalign_mesh3d.mesh.opening import Limits

POINTS = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n-1 .5 0\n"


def read(text, **limits):
    (part,) = read_off(text.encode(), "name", Limits(**limits))
    return part.vertices.tolist(), part.faces.tolist()


def refused(data, **limits):
    with pytest.raises(MeshFileError) as caught:
        read_off(data.encode() if isinstance(data, str) else data, "name", Limits(**limits))
    return caught.value


@pytest.mark.parametrize(
    "head",
    ["OFF\n3 1 0\n", "OFF 3 1\n", "OFF3 1 3 # or not\n", "# made\n\n \t OFF\r\n\r\n3 1 0\r\n", "COFF\n3 1 0 \n"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", " # last\n\n \n"])
def test_headers_and_line_ends(head, end):
    vertices, faces = read(head + end.join(["0 0 0", "1 0 0", "0 1e0 0", "3 0 1 2"]))
    assert (vertices, faces) == ([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]])


def test_what_follows_a_vertex_or_a_face_is_passed_over():
    text = "STCNOFF\n3 1 0\n0 0 0 1 0 0\n1 0 0 #red\n0 1 0 0.1 .2 .3 .4\n3 0 1 2 255 0 0\nand more"
    assert read(text)[1] == [[0, 1, 2]]


def test_polygons_of_every_size_beside_each_other():
    faces = "3 0 1 2\n5 0 1 2 3 4\n2 0 1\n4 4 3 2 1 0.5 0.5 0.5\n"
    # Fans around the first corner, in the order of the file; two corners make no triangle.
    expected = [[0, 1, 2], [0, 1, 2], [0, 2, 3], [0, 3, 4], [4, 3, 2], [4, 2, 1]]
    assert read(f"OFF\n5 4 0\n{POINTS}{faces}")[1] == expected


@given(st.lists(st.integers(0, 9), max_size=12))
def test_fans_by_a_plain_loop(counts):
    corners = np.random.default_rng(0).integers(0, 99, sum(counts))
    expected, start = [], 0
    for count in counts:
        polygon = corners[start : start + count].tolist()
        expected += [[polygon[0], polygon[n + 1], polygon[n + 2]] for n in range(count - 2)]
        start += count
    assert fans(corners, np.array(counts, np.int64)).tolist() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("PNG", "expected `OFF` and the numbers"),
        ("OFF BINARY\n\0\0", "expected `OFF` and the numbers"),
        ("4OFF\n1 1 0\n", "expected `OFF` and the numbers"),
        ("nOFF\n4\n1 1 0\n", "expected `OFF` and the numbers"),
        ("OFF\n-3 1 0\n", "expected `OFF` and the numbers"),
        ("OFF\n3 2 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "3 vertices and 2 faces, 4 lines follow: the file is cut off"),
        # Blank lines and comments are not counted.
        ("OFF\n3 1 0\n\n0 0 0\n1 0 0\n#\n0 1 0\n\n", "3 lines follow: the file is cut off"),
        ("OFF\n353535235358 6 0\n0 0 0\n", "353,535,235,358 vertices and 6 faces, 1 lines follow"),
        ("OFF\n3 1 0\n0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "fewer than three coordinates"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n4 0 1 2\n", "fewer corners than it says"),
        ("OFF\n3 2 0\n0 0 0\n1 0 0\n0 1 0\n-1\n3 0 1 2\n", "less than none"),
    ],
)
def test_what_cannot_be(text, message):
    error = refused(text)
    assert message in error.problem
    assert error.reason is Refusal.UNREADABLE


@pytest.mark.parametrize("text", ["0 0 x\n1 0 0\n0 1 0\n3 0 1 2", "0 0 0\n1 0 0\n0 1 0\nx 0 1 2"])
def test_no_numbers(text):
    with pytest.raises(ValueError, match=r"could not convert|invalid literal"):
        read_off(f"OFF\n3 1 0\n{text}".encode(), "name", Limits())


def test_too_many_faces_by_the_header_and_by_the_corners():
    assert refused("OFF\n3 10000000 0\n").reason is Refusal.MANY_FACES
    text = f"OFF\n5 2 0\n{POINTS}5 0 1 2 3 4\n4 0 1 2 3\n"
    assert len(read(text, faces=5)[1]) == 5
    assert refused(text, faces=4).reason is Refusal.MANY_FACES
