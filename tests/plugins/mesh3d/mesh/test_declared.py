"""What headers of STL, PLY and OBJ say, and whether the file holds it."""

import struct

import pytest

from prefalign_mesh3d.mesh.declared import declared_faces
from prefalign_mesh3d.mesh.errors import MeshFileError, Refusal

ASCII_STL = b"""solid a
facet normal 0 0 1
outer loop
vertex 0 0 0
vertex 1 0 0
vertex 0 1 0
endloop
endfacet
endsolid a
"""
ASCII_PLY = b"""ply
format ascii 1.0
element vertex 3
property float x
property float y
property float z
element face 1
property list uchar int vertex_indices
end_header
0 0 0
1 0 0
0 1 0
3 0 1 2
"""


def stl(count, triangles):
    return bytes(80) + struct.pack("<I", count) + bytes(50 * triangles)


def problem(data, kind):
    with pytest.raises(MeshFileError) as caught:
        declared_faces(data, kind, "name")
    assert caught.value.reason is Refusal.UNREADABLE
    return caught.value.problem


@pytest.mark.parametrize(
    ("kind", "data", "faces"),
    [
        ("stl", stl(0, 0), 0),
        ("stl", stl(3, 3), 3),
        # Exporters put the word into the header of binary files too.
        ("stl", b"solid" + stl(2, 2)[5:], 2),
        ("stl", ASCII_STL, 1),
        ("stl", b"\n " + ASCII_STL.upper() * 2, 2),
        ("ply", ASCII_PLY, 1),
        ("ply", ASCII_PLY.replace(b"\n", b"\r\n"), 1),
        ("ply", ASCII_PLY.strip(), 1),
        ("ply", ASCII_PLY.replace(b"ascii", b"binary_little_endian").replace(b"face 1", b"face 10000000"), 10**7),
        ("obj", b"", 0),
        ("obj", b"f 1 2 3\nvf\nf\t1//1 2//2 3//3 4//4\nfoo\ng f 1\nv -1 0 -0\nvn 0 0 -1\n", 2),
        ("obj", b"f 10 20 30\nf 1/1/0 2/2/0 3/3/0\n", 2),
    ],
)
def test_declared_faces(kind, data, faces):
    assert declared_faces(data, kind, "name") == faces


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        ("stl", stl(4, 3), "for the 4 triangles it names, got 234 bytes in all: the file is cut off or no STL"),
        ("stl", stl(2**32 - 1, 1), "for the 4,294,967,295 triangles"),
        ("stl", b"\x89PNG", "got 4 bytes in all"),
        ("stl", ASCII_STL[:-12], "no `endsolid`: the file is cut off"),
        ("ply", b"\x89PNG", "from `ply` to `end_header`"),
        ("ply", ASCII_PLY[:100], "from `ply` to `end_header`"),
        ("ply", ASCII_PLY.replace(b"face 1", b"face -1"), "element NAME COUNT"),
        ("ply", ASCII_PLY.replace(b"face 1", b"face"), "element NAME COUNT"),
        ("ply", ASCII_PLY[:-9], "the header says 4 lines, 3 follow: the file is cut off"),
        ("ply", ASCII_PLY.replace(b"face 1", b"face 10000000"), "the header says 10,000,003 lines, 4 follow"),
    ],
)
def test_what_cannot_be(kind, data, message):
    assert message in problem(data, kind)


def test_a_header_is_not_looked_for_in_the_whole_file():
    assert "from `ply`" in problem(b"ply\n" + b"comment\n" * 2**16 + b"end_header\n", "ply")


def test_counts_do_not_wrap():
    # In 32 bits the 50 bytes of 2^31 + 3 triangles are as many as those of 3.
    assert "for the 2,147,483,651 triangles" in problem(stl(2**31 + 3, 3), "stl")
