"""`prefalign mesh3d tokenize` and `detokenize`, from files to files."""

import json
from pathlib import Path

import numpy as np
import pytest

from prefalign.cli.main import main
from prefalign_mesh3d.mesh.files import read_mesh, write_mesh
from prefalign_mesh3d.mesh.grid import face_keys, frame_of, quantise
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.tokenizers.names import TOKENIZERS

MODELS = Path(__file__).resolve().parents[4] / "../shared/data/mesh3d"
KEYS = {"file", "faces", "tokens", "tokens_per_face", "ratio", "round_trip", "seconds"}


@pytest.fixture
def tetrahedron(tmp_path):
    path = tmp_path / "tetrahedron.obj"
    write_mesh(
        Mesh(10 * np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]), [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]),
        path,
    )
    return path


def run(capsys, *arguments):
    code = main(["mesh3d", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.mark.parametrize(
    ("name", "tokens"),
    # 9F; 3F + 7S - 1 with one strip 0 1 2 3 0 1; 4F + 6S; 8 vertices of 2 and of 3 tokens, all far apart.
    [("coord9", 36), ("amt", 18), ("edgerunner", 22), ("bpt", 16), ("deepmesh", 24)],
)
def test_json_has_one_object_a_file(capsys, tetrahedron, name, tokens):
    code, out, err = run(capsys, "tokenize", tetrahedron, "--tokenizer", name, "--json")
    (row,) = json.loads(out)
    assert (code, err) == (0, "")
    assert row.keys() == KEYS
    assert (row["file"], row["faces"], row["tokens"]) == (str(tetrahedron), 4, tokens)
    assert row["tokens_per_face"] == pytest.approx(tokens / 4)
    assert row["ratio"] == pytest.approx(tokens / 36)
    assert row["round_trip"] is True
    assert 0 < row["seconds"] < 10


def test_the_table_says_the_mean(capsys, tetrahedron):
    code, out, _ = run(capsys, "tokenize", tetrahedron, "--tokenizer", "coord9")
    assert code == 0
    assert "tetrahedron.obj  4      36      9.000     1.0000  same" in out
    assert "mean ratio to 9 tokens a face, over 1 files: 1.0000" in out


def test_settings_reach_the_tokenizer(capsys, tetrahedron):
    """On two levels the corners are all in one block; of the second fan the published stream writes one more token."""
    lengths = []
    for compat in ("true", "false"):
        settings = f'{{"blocks": 1, "offsets": 2, "compat": {compat}}}'
        _, out, _ = run(capsys, "tokenize", tetrahedron, "--tokenizer", "bpt", "--settings", settings, "--json")
        lengths.append(json.loads(out)[0]["tokens"])
    assert lengths == [11, 10]


def test_a_file_that_cannot_be_read_does_not_stop_the_others(capsys, tetrahedron, tmp_path):
    missing, broken, flat = tmp_path / "no.obj", tmp_path / "broken.ply", tmp_path / "flat.obj"
    broken.write_bytes(b"ply\nnonsense")
    flat.write_text("v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n")
    code, out, err = run(capsys, "tokenize", missing, broken, flat, tetrahedron, "--json")
    rows = json.loads(out)
    assert code == 1
    assert [row["faces"] for row in rows] == [None, None, None, 4]
    assert all(row["error"] for row in rows[:3])
    assert "no face is left on 512 levels" in rows[2]["error"]
    for path in (missing, broken, flat):
        assert f"error: {path}: " in err
    code, out, _ = run(capsys, "tokenize", missing, tetrahedron)
    assert code == 1
    assert out.count("\n") > 2


def test_meshes_that_do_not_come_back_are_an_error(capsys, tetrahedron, monkeypatch):
    kind = TOKENIZERS["amt"]
    whole = kind.decode
    monkeypatch.setattr(kind, "decode", lambda self, tokens: whole(self, tokens[:-3]))
    code, out, err = run(capsys, "tokenize", tetrahedron, "--tokenizer", "amt", "--json")
    assert code == 1
    assert json.loads(out)[0]["round_trip"] is False
    assert "the decoded mesh has other faces" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tokenizer", "deepmsh"], "did you mean 'deepmesh'"),
        (["--settings", "{"], "not JSON"),
        (["--settings", "[]"], "JSON object"),
        (["--settings", '{"levels": 4}'], "unknown setting of deepmesh"),
    ],
)
def test_arguments_without_sense_are_refused(capsys, tetrahedron, arguments, message):
    code, out, err = run(capsys, "tokenize", tetrahedron, *arguments)
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("form", ["glb", "obj"])
def test_there_and_back_through_files(capsys, tetrahedron, tmp_path, name, form):
    assert run(capsys, "tokenize", tetrahedron, "--tokenizer", name, "--out", tmp_path / "ids")[0] == 0
    ids = tmp_path / "ids/tetrahedron.npz"
    code, out, _ = run(capsys, "detokenize", ids, "--out", tmp_path / "back", "--format", form, "--json")
    (row,) = json.loads(out)
    assert code == 0
    assert row == {
        "file": str(ids), "mesh": str(tmp_path / f"back/tetrahedron.{form}"), "faces": 4,
        "bad_tokens": 0, "degenerate": 0, "duplicate": 0,
    }  # fmt: skip
    mesh, back = read_mesh(tetrahedron), read_mesh(Path(row["mesh"]))
    levels = TOKENIZERS[name]().levels
    frame = frame_of(mesh)
    grids = [quantise(each, levels, frame) for each in (mesh, back)]
    np.testing.assert_array_equal(*(face_keys(grid, winding=name != "amt") for grid in grids))


def test_detokenize_says_what_it_cannot_read(capsys, tetrahedron, tmp_path):
    run(capsys, "tokenize", tetrahedron, "--out", tmp_path / "ids")
    good, bad = tmp_path / "ids/tetrahedron.npz", tmp_path / "bad.npz"
    bad.write_bytes(b"nothing")
    code, out, err = run(capsys, "detokenize", bad, good, "--out", tmp_path / "back")
    assert code == 1
    assert f"error: {bad}: " in err
    assert (tmp_path / "back/tetrahedron.glb").exists()
    assert not (tmp_path / "back/bad.glb").exists()
    assert "tetrahedron.glb" in out


def test_two_files_for_one_target_are_refused(capsys, tetrahedron, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "tetrahedron.obj").write_bytes(tetrahedron.read_bytes())
    code, _, err = run(capsys, "tokenize", tetrahedron, other / "tetrahedron.obj", "--out", tmp_path / "ids")
    assert code == 2
    assert "would both be written" in err
    assert not (tmp_path / "ids").exists()


@pytest.mark.skipif(not MODELS.is_dir(), reason="the public meshes are not here")
def test_public_files(capsys):
    files = sorted(MODELS.glob("*"))
    code, out, _ = run(capsys, "tokenize", *files, "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["file"] for row in rows] == [str(file) for file in files]
    assert all(row["round_trip"] for row in rows)
