"""The command that measures a mesh."""

import json
import math

import numpy as np
import pytest
import trimesh

from prefalign.cli.main import main as prefalign
from prefalign_mesh3d.commands.score import main
from prefalign_mesh3d.mesh.grid import Frame
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.comparison import Comparison
from prefalign_mesh3d.tokenizers.coord9 import Coord9
from prefalign_mesh3d.tokenizers.files import TokenFile, write_tokens


@pytest.fixture
def files(tmp_path):
    """A sphere, and a cube without a side as STL, whose corners are not joined."""
    trimesh.creation.icosphere(2).export(tmp_path / "sphere.obj")
    cube = trimesh.creation.box()
    side = [index for index, normal in enumerate(cube.face_normals) if normal[0] < -0.5]
    trimesh.Trimesh(cube.vertices, np.delete(cube.faces, side, 0), process=False).export(tmp_path / "open.stl")
    return tmp_path


def scored(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_mesh_alone(files, capsys):
    found = scored(capsys, files / "open.stl", "--json")
    assert found["file"] == str(files / "open.stl")
    assert found["reference"] is None
    assert found["integrity"]["faces"] == 10
    assert found["integrity"]["boundary_edge_ratio"] == 4 / 17
    assert found["integrity"]["watertight"] == 0
    assert found["integrity"]["topology_score"] == pytest.approx(100)
    assert found["integrity"]["self_intersections"] == 0
    assert found["settings"] == {"topology_score": "prefalign-1", "sliver_degrees": 5.0}
    assert "distances" not in found
    assert "tokens" not in found


def test_beside_a_reference_with_all_that_it_depends_on(files, capsys):
    arguments = [files / "open.stl", "--reference", files / "sphere.obj", "--samples", "300", "--seed", "4", "--json"]
    found = scored(capsys, *arguments, "--placement", "sphere", "--frame", "reference")
    settings = found["settings"]
    assert (settings["placement"], settings["frame"]) == ("sphere", "reference")
    assert (settings["samples"], settings["seed"], settings["taus"]) == (300, 4, [0.01, 0.02, 0.05])
    assert settings["reference_scale"] == pytest.approx(1, rel=1e-4)
    assert settings["reference_centre"] == pytest.approx([0, 0, 0], abs=1e-6)
    # Over the open side the sphere is sqrt(1/2) from the rim; over the others 1/2 from the side.
    assert found["distances"]["hausdorff"] == pytest.approx(0.5**0.5, abs=0.1)
    assert scored(capsys, *arguments)["distances"] != found["distances"]
    assert scored(capsys, *arguments) == scored(capsys, *arguments)


def test_the_figures_are_those_of_the_metric(files, capsys):
    sphere = trimesh.load(files / "sphere.obj", process=False)
    mesh = Mesh(sphere.vertices, sphere.faces)
    found = scored(capsys, files / "sphere.obj", "--reference", files / "sphere.obj", "--json")
    expected = Comparison().figures(mesh, mesh)
    assert found["distances"]["chamfer_l1_sum"] == pytest.approx(expected["chamfer_l1_sum"], rel=0.05)
    assert found["distances"].keys() == expected.keys()


@pytest.mark.oracle
def test_to_the_surface(files, capsys):
    pytest.importorskip("open3d", exc_type=ImportError)
    sphere = files / "sphere.obj"
    found = scored(capsys, sphere, "--reference", sphere, "--surface", "--json")
    assert found["settings"]["to"] == "surface"
    assert found["distances"]["chamfer_l1_sum"] < 1e-5


def test_the_table_says_the_same(files, capsys):
    assert main([str(files / "open.stl"), "--reference", str(files / "sphere.obj"), "--tokenizer", "coord9"]) == 0
    text = capsys.readouterr().out
    assert "boundary_edge_ratio" in text
    assert "side_1.9, frame of each; 1024 points to points, seed 0" in text
    assert "dialect prefalign-1" in text
    assert "nan" not in text
    lines = {line.split()[1]: line.split()[2] for line in text.splitlines()[3:]}
    assert lines["faces"] == "10"
    assert lines["tokens_per_face"] == "9"


def test_the_table_of_a_mesh_alone(files, capsys):
    assert main([str(files / "open.stl")]) == 0
    text = capsys.readouterr().out
    assert "topology_score" in text
    assert "distance " not in text


def test_through_a_tokenizer(files, capsys):
    """What comes back is on the grid: 9 tokens a face, nothing dropped; no end was sampled."""
    found = scored(capsys, files / "sphere.obj", "--tokenizer", "coord9", "--json")
    tokens = found["tokens"]
    assert tokens["tokenizer"] == Coord9().settings()
    assert (tokens["tokens"], tokens["faces"], tokens["tokens_per_face"]) == (9 * 320, 320, 9)
    assert (tokens["bad_token_ratio"], tokens["degenerate_ratio"], tokens["duplicate_ratio"]) == (0, 0, 0)
    assert "ended" not in tokens


def test_a_file_of_tokens(files, capsys):
    how = Coord9(levels=8)
    face = [0, 0, 0, 0, 0, 7, 0, 7, 0]
    write_tokens(TokenFile(np.array([*face, *face, 1, 1]), how, Frame((0.0, 0.0, 0.0), 1.0)), files / "ids.npz")
    found = scored(capsys, files / "ids.npz", "--json")
    assert found["integrity"]["faces"] == 1
    assert found["integrity"]["valence_regularity"] is None
    assert found["tokens"]["ended"] == 0
    assert found["tokens"]["duplicate_ratio"] == 0.5
    assert found["tokens"]["bad_token_ratio"] == 2 / 20
    assert main([str(files / "ids.npz"), "--tokenizer", "amt"]) == 2
    assert "its tokens are of coord9, not of amt" in capsys.readouterr().err


def test_what_cannot_be_measured(files, capsys):
    (files / "empty.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    (files / "flat.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    sphere = str(files / "sphere.obj")
    for arguments, message in (
        ([str(files / "empty.obj")], "empty.obj"),
        ([str(files / "missing.obj")], "missing.obj"),
        ([str(files / "flat.obj"), "--reference", sphere], "flat.obj: no points can be drawn from the mesh"),
        ([sphere, "--reference", str(files / "flat.obj")], f"error: {files / 'flat.obj'}: no points can be drawn"),
        ([sphere, "--reference", str(files / "none.obj")], f"error: {files / 'none.obj'}: "),
        ([sphere, "--tokenizer", "coord8"], "tokenizer 'coord8'; did you mean 'coord9'"),
        ([sphere, "--reference", sphere, "--samples", "0"], "expected samples >= 1"),
    ):
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert message in error


def test_the_command_is_registered(files, capsys):
    assert prefalign(["mesh3d", "score", str(files / "sphere.obj"), "--json"]) == 0
    angle = json.loads(capsys.readouterr().out)["integrity"]["smallest_angle_degrees"]
    assert 45 < angle <= 60
    assert not math.isnan(angle)
