"""glTF: what a file announces, and what it may draw in."""

import base64
import json
import struct

import numpy as np
import pytest

from prefalign_mesh3d.mesh.errors import MeshFileError, Refusal
from prefalign_mesh3d.mesh.files import mesh_from_bytes, read_mesh
from prefalign_mesh3d.mesh.opening import Limits

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()
BUFFER = POINTS + np.array([0, 1, 2], "<u2").tobytes() + b"\0\0"
INLINE = "data:application/octet-stream;base64," + base64.b64encode(BUFFER).decode()


def tree(uri=INLINE, **changes):
    """A triangle as the specification writes it, by hand."""
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "buffers": [{"byteLength": 44, "uri": uri}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 6},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3", "min": [0] * 3, "max": [1, 1, 0]},
            {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"},
        ],
        **changes,
    }


def read(header, **limits):
    return mesh_from_bytes(json.dumps(header).encode(), "gltf", "a.gltf", Limits(**limits))


def refused(header, **limits):
    with pytest.raises(MeshFileError) as caught:
        read(header, **limits)
    return caught.value


def accessor(index, **changes):
    header = tree()
    header["accessors"][index].update(changes)
    return header


def primitive(**changes):
    header = tree()
    header["meshes"][0]["primitives"][0].update(changes)
    return header


def test_nodes_move_what_hangs_below_them():
    nodes = [{"children": [1, 2], "translation": [0, 0, 7]}, {"mesh": 0, "scale": [2, 2, 2]}, {"mesh": 0}]
    mesh = read(tree(nodes=nodes))
    # In which order the loader takes nodes is its own affair.
    large, small = sorted(mesh.vertices[mesh.faces].tolist(), reverse=True)
    assert large == [[0, 0, 7], [2, 0, 7], [0, 2, 7]]
    assert small == [[0, 0, 7], [1, 0, 7], [0, 1, 7]]


def test_a_mirrored_node_keeps_its_outside():
    mesh = read(tree(nodes=[{"mesh": 0, "scale": [-1, 1, 1]}]))
    a, b, c = mesh.vertices[mesh.faces[0]]
    assert np.cross(b - a, c - a)[2] > 0


def test_a_buffer_beside_the_file_is_read(tmp_path):
    (tmp_path / "my buffer.bin").write_bytes(BUFFER)
    file = tmp_path / "a.gltf"
    file.write_text(json.dumps(tree("my%20buffer.bin")))
    assert len(read_mesh(file).faces) == 1
    (tmp_path / "my buffer.bin").write_bytes(BUFFER[:-1])
    with pytest.raises(MeshFileError, match=r"a\.gltf: its buffer 'my%20buffer\.bin' is cut off"):
        read_mesh(file)
    (tmp_path / "my buffer.bin").write_bytes(BUFFER + bytes(1000))
    with pytest.raises(MeshFileError, match="bytes, and the limit is") as caught:
        read_mesh(file, Limits(file_bytes=file.stat().st_size + 1000))
    assert caught.value.reason is Refusal.LARGE


@pytest.mark.parametrize("uri", ["../b.bin", "%2e%2e/b.bin", "link.bin", "away/b.bin", "ABSOLUTE"])
def test_a_buffer_outside_the_folder_is_not_read(tmp_path, uri):
    (tmp_path / "b.bin").write_bytes(BUFFER)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "b.bin")
    (folder / "away").symlink_to(tmp_path)
    file = folder / "a.gltf"
    file.write_text(json.dumps(tree(uri.replace("ABSOLUTE", str(tmp_path / "b.bin")))))
    with pytest.raises(MeshFileError) as caught:
        read_mesh(file)
    assert caught.value.reason is Refusal.OUTSIDE
    assert "its buffer" in caught.value.problem


@pytest.mark.parametrize("uri", ["http://localhost:1/b.bin", "file:///etc/hostname", "http://localhost:1/?base64,AAAA"])
def test_nothing_is_fetched(tmp_path, uri):
    file = tmp_path / "a.gltf"
    file.write_text(json.dumps(tree(uri)))
    with pytest.raises(MeshFileError, match="is not fetched") as caught:
        read_mesh(file)
    assert caught.value.reason is Refusal.OUTSIDE


def test_bytes_without_a_place_have_no_neighbours(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.bin").write_bytes(BUFFER)
    error = refused(tree("b.bin"))
    assert (error.reason, "pack all in a .glb" in error.problem) == (Refusal.OUTSIDE, True)


@pytest.mark.parametrize("uri", ["../secret.png", "data:image/png;base64,iVBORw0KGgo="])
def test_pictures_are_neither_looked_for_nor_decoded(monkeypatch, uri):
    opened = []
    monkeypatch.setattr("PIL.Image.open", opened.append)
    header = tree(images=[{"uri": uri}], textures=[{"source": 0}], materials=[{"name": "m"}])
    header["materials"][0]["pbrMetallicRoughness"] = {"baseColorTexture": {"index": 0}}
    header["meshes"][0]["primitives"][0]["material"] = 0
    assert len(read(header).faces) == 1
    assert opened == []


@pytest.mark.parametrize(
    "nodes",
    [
        [{"mesh": 0, "children": [0]}],
        [{"mesh": 0, "children": [1]}, {"children": [0]}],
        [{"children": [1, 1]}, {"mesh": 0}],
        [{"children": [1, 2]}, {"children": [2]}, {"mesh": 0}],
    ],
)
def test_nodes_form_trees(nodes):
    assert "nodes must form trees" in refused(tree(nodes=nodes)).problem


def test_nodes_lie_so_deep_and_no_deeper():
    def chain(length):
        return [*({"children": [n + 1], "translation": [1, 0, 0]} for n in range(length - 1)), {"mesh": 0}]

    assert read(tree(nodes=chain(256))).vertices[0, 0] == 255
    assert "256 levels" in refused(tree(nodes=chain(257))).problem


def test_faces_are_counted_as_often_as_they_are_placed():
    nodes = [{"children": list(range(1, 11))}, *({"mesh": 0} for _ in range(10))]
    assert len(read(tree(nodes=nodes), faces=10).faces) == 10
    error = refused(tree(nodes=nodes), faces=9)
    assert (error.reason, error.problem) == (Refusal.MANY_FACES, "announces 10 faces, and the limit is 9")


def test_ten_million_faces_are_refused_by_the_header():
    assert refused(accessor(1, count=3 * 10**7)).reason is Refusal.MANY_FACES
    strip = primitive(mode=5)
    strip["accessors"][1]["count"] = 10**7 + 2
    assert refused(strip).problem.startswith("announces 10,000,000 faces")


def test_arrays_out_of_nothing_are_refused():
    # An accessor without a view is all zeros: a hundred bytes would become sixteen gigabytes.
    header = tree()
    header["accessors"].append({"componentType": 5126, "count": 2**28, "type": "MAT4"})
    error = refused(header)
    assert error.reason is Refusal.LARGE
    assert error.problem.startswith("its accessors announce 17,179,869,226 bytes")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (accessor(0, sparse={"count": 1}), "compressed, sparse or normalised"),
        (accessor(1, sparse={"count": 1}), "compressed, sparse or normalised"),
        (accessor(0, normalized=True), "compressed, sparse or normalised"),
        (primitive(mode=6), "triangle fans"),
        (accessor(0, count=-3), "an accessor counts -3 elements"),
        (accessor(0, count=4), "cannot reshape"),
        (accessor(0, type="VEC7"), "VEC7"),
        (accessor(0, componentType=1), "1"),
        (tree(nodes=[{"mesh": 4}]), "index"),
        (tree(scenes=[{"nodes": [3]}]), "index"),
        (tree(meshes=3), "not iterable"),
        ([], "expected a JSON object, got list"),
        (tree(asset={"version": "1.0"}), "expected glTF 2.0, got version 1.0"),
        (tree(asset={}), "expected glTF 2.0, got version none"),
        (tree(asset=[]), "no attribute"),
    ],
)
def test_broken_headers(header, message):
    error = refused(header)
    assert error.reason is Refusal.UNREADABLE
    assert message in error.problem


def test_draco_without_plain_data_is_refused():
    header = primitive(extensions={"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}})
    del header["accessors"][0]["bufferView"]
    assert "such as by Draco" in refused(header).problem


def test_lines_and_points_have_no_faces():
    assert refused(primitive(mode=1)).reason is Refusal.NO_FACES
    assert refused(tree(scenes=[{"nodes": []}])).reason is Refusal.NO_FACES
    header = tree()
    header["meshes"][0]["primitives"].append({"attributes": {"POSITION": 0}, "mode": 0})
    assert len(read(header).faces) == 1


def test_strips_and_missing_indices():
    header = primitive(mode=5)
    header["accessors"][1].update(count=3)
    assert len(read(header).faces) == 1
    header = tree()
    del header["meshes"][0]["primitives"][0]["indices"]
    np.testing.assert_array_equal(read(header).faces, [[0, 1, 2]])


def test_nesting_without_end():
    with pytest.raises(MeshFileError):
        mesh_from_bytes(b"[" * 200_000, "gltf", "a.gltf")


def binary(header=None, rest=BUFFER):
    text = json.dumps(header or tree()).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(rest), b"BIN\0") + rest
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def test_binary_files():
    header = tree()
    del header["buffers"][0]["uri"]
    data = binary(header)
    assert len(mesh_from_bytes(data, "glb", "a.glb").faces) == 1
    for stop in (0, 3, 19, 30, len(data) - 50, len(data) - 1):
        with pytest.raises(MeshFileError) as caught:
            mesh_from_bytes(data[:stop], "glb", "a.glb")
        assert caught.value.reason in (Refusal.UNREADABLE, Refusal.EMPTY)
        assert stop < 20 or "the file is cut off" in caught.value.problem
    for wrong in (b"glTG" + data[4:], data[:4] + b"\1" + data[5:], data[:16] + b"BIN\0" + data[20:]):
        with pytest.raises(MeshFileError, match="expected"):
            mesh_from_bytes(wrong, "glb", "a.glb")
