"""Files of every format: read, written, refused."""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefalign_mesh3d.demo.shapes import draw_shapes
from prefalign_mesh3d.mesh.errors import MeshError, MeshFileError, Refusal
from prefalign_mesh3d.mesh.files import READABLE, WRITABLE, Limits, mesh_from_bytes, read_mesh, write_mesh
from prefalign_mesh3d.mesh.mesh import Mesh

MODELS = Path(__file__).resolve().parents[4] / "../shared/data/mesh3d"
CORNERS = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv -1 0.5 0\n"
PLY = "ply\nformat ascii 1.0\nelement vertex 5\nproperty float x\nproperty float y\nproperty float z\n"
PLY += "element face {}\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n-1 .5 0\n{}\n"
STL_FACE = "facet normal 0 0 1\nouter loop\nvertex {} 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"


def read(text, kind, **limits):
    return mesh_from_bytes(text.encode(), kind, f"a.{kind}", Limits(**limits))


def refused(data, kind, **limits):
    with pytest.raises(MeshFileError) as caught:
        mesh_from_bytes(data.encode() if isinstance(data, str) else data, kind, "name", Limits(**limits))
    assert str(caught.value).startswith("name: ")
    return caught.value.reason


def loose(mesh):
    """(F, 3, 3) the corners of each face, from the smallest on, faces in order: equal for equal surfaces."""
    corners = mesh.vertices[mesh.faces]
    first = [min(range(3), key=lambda n: tuple(face[n])) for face in corners]
    turned = [np.roll(face, -n, axis=0).ravel().tolist() for face, n in zip(corners, first, strict=True)]
    return np.array(sorted(turned))


@pytest.fixture(scope="module")
def shape():
    return draw_shapes(1, 3)[0]


@pytest.mark.parametrize("kind", WRITABLE)
def test_what_is_written_comes_back(tmp_path, shape, kind):
    file = tmp_path / f"ein Würfel 立方体.{kind.upper()}"
    write_mesh(shape, file)
    single = Mesh(shape.vertices.astype(np.float32), shape.faces)
    np.testing.assert_allclose(loose(read_mesh(file)), loose(single), atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("kind", WRITABLE)
def test_half_a_file_is_no_file(tmp_path, shape, kind):
    file = tmp_path / f"a.{kind}"
    write_mesh(shape, file)
    data = file.read_bytes()
    for share in (0.02, 0.5, 0.9):
        half = data[: int(share * len(data))]
        if kind == "obj" and share == 0.9:
            # OBJ names no counts, so the loss of its last faces cannot be seen.
            continue
        assert refused(half, kind) in (Refusal.UNREADABLE, Refusal.NO_FACES)


def test_a_written_glb_is_what_the_specification_asks_for(tmp_path, shape):
    file = tmp_path / "a.glb"
    write_mesh(shape, file)
    data = file.read_bytes()
    magic, version, length, size, kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON")
    assert size % 4 == 0
    header = json.loads(data[20 : 20 + size])
    rest, rest_kind = struct.unpack("<I4s", data[20 + size : 28 + size])
    assert (rest, rest_kind, rest % 4) == (len(data) - size - 28, b"BIN\0", 0)
    part = header["meshes"][0]["primitives"][0]
    positions = header["accessors"][part["attributes"]["POSITION"]]
    # Viewers place the camera by these two, and the specification requires them.
    np.testing.assert_allclose(positions["min"], shape.vertices.min(0), atol=1e-6)
    np.testing.assert_allclose(positions["max"], shape.vertices.max(0), atol=1e-6)
    assert header["accessors"][part["indices"]]["count"] == shape.faces.size
    for accessor in header["accessors"]:
        view = header["bufferViews"][accessor["bufferView"]]
        assert (view.get("byteOffset", 0) + accessor.get("byteOffset", 0)) % 4 == 0
        assert view.get("byteOffset", 0) + view["byteLength"] <= header["buffers"][0]["byteLength"] <= rest


def test_a_failed_write_leaves_the_old_file(tmp_path, shape, monkeypatch):
    file = tmp_path / "a.stl"
    file.write_bytes(b"old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_mesh(shape, file)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.stl", b"old")]


def test_what_cannot_be_written(tmp_path, shape):
    with pytest.raises(MeshFileError, match="unknown mesh format 'plyy'; did you mean 'ply'"):
        write_mesh(shape, tmp_path / "a.plyy")
    with pytest.raises(MeshFileError, match="without faces"):
        write_mesh(Mesh(np.zeros((3, 3)), np.zeros((0, 3))), tmp_path / "a.glb")
    with pytest.raises(MeshFileError, match="beyond single precision"):
        write_mesh(Mesh(shape.vertices * 1e39, shape.faces), tmp_path / "a.glb")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("obj", CORNERS + "f 1 2 3 4\nf 1 4 5\n"),
        ("obj", CORNERS + "f 1 2 3 4 5\n"),
        ("obj", CORNERS + "vt 0 0\nvn 0 0 1\nf 1/1/1 2/1/1 3/1/1\nf 1//1 3//1 4//1 5//1\n"),
        ("obj", "mtllib ../../etc/passwd\nusemtl a\n" + CORNERS + "f 1 2 3\nusemtl b\ng x\nf 1 3 4 5\n"),
        ("off", "OFF\n5 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n-1 .5 0\n4 0 1 2 3\n3 0 3 4\n"),
        ("off", "OFF 5 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n-1 .5 0\n5 0 1 2 3 4\n"),
        ("ply", PLY.format(2, "4 0 1 2 3\n3 0 3 4")),
        ("ply", PLY.format(1, "5 0 1 2 3 4")),
    ],
)
def test_polygons_become_triangles(kind, text):
    mesh = read(text, kind)
    assert len(mesh.faces) == 3
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    crossed = np.cross(b - a, c - a)[:, 2]
    # A unit square and a triangle of area 1/2 at its left, all facing +z.
    assert (crossed > 0).all()
    assert crossed.sum() / 2 == pytest.approx(1.5)


def test_solids_of_one_file_are_one_mesh():
    text = "".join(f"solid {n}\n{STL_FACE.format(n)}endsolid {n}\n" for n in range(2))
    np.testing.assert_array_equal(read(text, "stl").vertices[[0, 3], 0], [0, 1])


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("obj", "", Refusal.EMPTY),
        ("obj", CORNERS, Refusal.NO_FACES),
        ("obj", "\x89PNG\r\n not a mesh", Refusal.NO_FACES),
        ("obj", CORNERS + "f 1 2 9\n", Refusal.UNREADABLE),
        ("obj", CORNERS + "f 1 2 three\n", Refusal.UNREADABLE),
        ("obj", CORNERS + "f 1 2\n", Refusal.UNREADABLE),
        # The loader would leave out the second face and say nothing.
        ("obj", CORNERS + "f 1 2 3\nf 1 2\n", Refusal.UNREADABLE),
        ("obj", CORNERS.replace("v 0 0 0", "v nan 0 0") + "f 1 2 3\n", Refusal.NOT_FINITE),
        ("obj", CORNERS.replace("v 0 0 0", "v inf 0 0") + "f 1 2 3\n", Refusal.NOT_FINITE),
        ("obj", CORNERS.replace("v 0 0 0", "v 1e999 0 0") + "f 1 2 3\n", Refusal.NOT_FINITE),
        ("obj", CORNERS.replace("v 0 0 0", "v -1e30 0 0") + "f 1 2 3\n", Refusal.FAR),
        ("off", "OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", Refusal.NO_FACES),
        ("off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 3\n", Refusal.UNREADABLE),
        ("off", "OFF\n3 1 0\n0 0 0\n1 0 nan\n0 1 0\n3 0 1 2\n", Refusal.NOT_FINITE),
        ("off", "OFF\n3 2 0\n\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n\n", Refusal.UNREADABLE),
        ("ply", PLY.format(0, ""), Refusal.NO_FACES),
        ("ply", PLY.format(1, "3 0 1 7"), Refusal.UNREADABLE),
        ("ply", PLY.format(1, "3 0 1 2").replace("1 1 0", "1 1 inf"), Refusal.NOT_FINITE),
        ("stl", "solid a\nendsolid a\n", Refusal.NO_FACES),
        ("stl", f"solid a\n{STL_FACE.format('nan')}endsolid a\n", Refusal.NOT_FINITE),
        ("stl", f"solid a\n{STL_FACE.format('1e16')}endsolid a\n", Refusal.FAR),
        ("png", "\x89PNG", Refusal.FORMAT),
        ("zip", "PK", Refusal.FORMAT),
        ("", "f 1 2 3", Refusal.FORMAT),
    ],
)
def test_reasons(kind, text, reason):
    assert refused(text, kind) is reason


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("stl", bytes(80) + struct.pack("<I", 101) + bytes(50 * 101)),
        ("ply", PLY.format(101, "3 0 1 2\n" * 101)),
        ("ply", PLY.format(10**7, "").replace("ascii", "binary_little_endian")),
        ("off", "OFF\n3 101 0\n0 0 0\n1 0 0\n0 1 0\n" + "3 0 1 2\n" * 101),
        ("obj", CORNERS + "f 1 2 3\n" * 101),
        # Two triangles each: only their sum is over the limit.
        ("obj", CORNERS + "f 1 2 3 4\n" * 51),
    ],
)
def test_too_many_faces(kind, data, monkeypatch):
    assert refused(data, kind, faces=100) is Refusal.MANY_FACES
    if b"f 1 2 3 4" not in (data if isinstance(data, bytes) else data.encode()):
        # The header is enough: no loader is asked.
        monkeypatch.setattr("trimesh.load_scene", None)
        assert refused(data, kind, faces=100) is Refusal.MANY_FACES


def test_sizes_in_bytes(tmp_path):
    text = CORNERS + "f 1 2 3\n"
    assert refused(text, "obj", file_bytes=len(text) - 1) is Refusal.LARGE
    (tmp_path / "a.obj").write_text(text)
    assert len(read_mesh(tmp_path / "a.obj", Limits(file_bytes=len(text))).faces) == 1
    with pytest.raises(MeshFileError, match=r"a\.obj: 51 bytes, and the limit is 50"):
        read_mesh(tmp_path / "a.obj", Limits(file_bytes=len(text) - 1))


def test_an_obj_opens_no_other_file(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.mtl").write_text("newmtl a\nmap_Kd ../secret.png\n")
    file = tmp_path / "in" / "a.obj"
    file.write_text("mtllib ../secret.mtl\nusemtl a\n" + CORNERS + "vt 0 0\nf 1/1 2/1 3/1\n")
    opened = []
    original = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest, **named: opened.append(path) or original(path, *rest, **named))
    monkeypatch.setattr("builtins.open", None)
    assert len(read_mesh(file).faces) == 1
    assert [Path(path).name for path in opened] == ["a.obj"]


def test_a_link_out_of_the_folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "a.obj").write_text(CORNERS + "f 1 2 3\n")
    link = tmp_path / "in" / "b.obj"
    link.symlink_to(tmp_path / "a.obj")
    assert len(read_mesh(link).faces) == 1
    with pytest.raises(MeshFileError) as caught:
        read_mesh(link, within=tmp_path / "in")
    assert caught.value.reason is Refusal.OUTSIDE


def test_reading_twice_gives_the_same(tmp_path):
    if not (MODELS / "Duck.glb").exists():
        pytest.skip("no models")
    first, second = (read_mesh(MODELS / "Duck.glb") for _ in range(2))
    np.testing.assert_array_equal(first.vertices, second.vertices)
    np.testing.assert_array_equal(first.faces, second.faces)


FILES = sorted(MODELS.glob("*")) if MODELS.is_dir() else []


@pytest.mark.skipif(not FILES, reason="no models")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_as_many_faces_as_the_loader_finds(file):
    trimesh = pytest.importorskip("trimesh")
    expected = trimesh.load_scene(str(file), process=False, skip_materials=True).to_mesh()
    mesh = read_mesh(file)
    assert len(mesh.faces) == len(expected.faces)
    np.testing.assert_allclose(mesh.vertices[mesh.faces], expected.triangles, rtol=0, atol=1e-9 * expected.scale)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(READABLE), st.binary(max_size=300), st.data())
def test_any_bytes_give_a_mesh_or_a_mesh_error(kind, data, draw):
    starts = {"glb": b"glTF\2\0\0\0", "ply": PLY.format(1, "3 0 1 2").encode(), "off": b"OFF\n3 1 0\n", "stl": b"solid"}
    whole = starts.get(kind, b"v 0 0 0\nf ") if draw.draw(st.booleans()) else b""
    cut = draw.draw(st.integers(0, len(whole)))
    try:
        mesh = mesh_from_bytes(whole[:cut] + data + whole[cut:], kind, "name")
    except MeshError:
        return
    assert len(mesh.faces)
    assert np.isfinite(mesh.vertices).all()
