"""Token files, and files that only look like them."""

import json
import pickle
import zipfile

import numpy as np
import pytest

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import frame_of
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.tokenizers import files
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh
from prefalign_mesh3d.tokenizers.files import TokenFile, read_tokens, write_tokens


@pytest.fixture
def written(tmp_path, ball):
    mesh = Mesh(ball.vertices * 30 + np.array([5, -7, 100]), ball.faces)
    how = DeepMesh(2, 4, 16, compat=True)
    path = tmp_path / "ball.npz"
    write_tokens(TokenFile(how.tokenize(mesh), how, frame_of(mesh)), path)
    return path, mesh, how


def test_a_mesh_comes_back_where_it_was(written):
    """No vertex is farther than half a cell along each axis, 30 / 0.95 / 128 of the mesh's unit."""
    path, mesh, how = written
    file = read_tokens(path)
    assert file.tokenizer.settings() == how.settings()
    np.testing.assert_array_equal(file.tokens, how.tokenize(mesh))
    back, decoded = file.decode()
    assert len(back.faces) == len(mesh.faces) == len(decoded.mesh.faces)
    distance = np.abs(back.vertices[:, None] - mesh.vertices[None]).max(2)
    assert distance.min(1).max() <= 30 / 0.95 / 128 * (1 + 1e-6)
    assert distance.min(0).max() <= 30 / 0.95 / 128 * (1 + 1e-6)


def changed(path, **arrays):
    with np.load(path) as found:
        np.savez(path, **{**found, **arrays})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"tokens": np.zeros((2, 2))}, "sequence of integers"),
        ({"tokenizer": np.array("{")}, "not JSON"),
        ({"tokenizer": np.array("[1]")}, "object with a name"),
        ({"tokenizer": np.array(json.dumps({"name": "deepmsh"}))}, "did you mean 'deepmesh'"),
        ({"tokenizer": np.array(json.dumps({"name": "amt", "levels": 10**9}))}, "between 2 and"),
        ({"centre": np.array([0.0, np.nan, 0.0])}, "finite"),
        ({"centre": np.zeros(2)}, "three finite"),
        ({"scale": np.array(0.0)}, "scale above 0"),
        ({"scale": np.array("1")}, "scale above 0"),
    ],
)
def test_wrong_contents_are_refused(written, arrays, message):
    path = written[0]
    changed(path, **arrays)
    with pytest.raises(MeshError, match=message):
        read_tokens(path).decode()


def test_other_files_are_refused(tmp_path, written):
    path = tmp_path / "other.npz"
    with pytest.raises(MeshError, match=r"other\.npz"):
        read_tokens(path)
    for data in (b"", b"PK", pickle.dumps([1]), written[0].read_bytes()[:100]):
        path.write_bytes(data)
        with pytest.raises(MeshError, match="not an archive"):
            read_tokens(path)
    np.savez(path, tokens=np.zeros(3, int))
    with pytest.raises(MeshError, match="tokenizer"):
        read_tokens(path)


def test_pickles_inside_are_not_loaded(written):
    path = written[0]
    changed(path, tokens=np.array([{}], object))
    with pytest.raises(MeshError, match="not an archive"):
        read_tokens(path)


def test_what_unpacks_to_too_much_is_refused_before_it_is_unpacked(written, monkeypatch):
    path = written[0]
    monkeypatch.setattr(files, "MOST_BYTES", 4096)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("more.npy", bytes(10_000))
    with pytest.raises(MeshError, match="unpacks to"):
        read_tokens(path)
