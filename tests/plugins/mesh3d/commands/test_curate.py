"""`prefalign mesh3d curate`, from a folder to a set."""

import json

import pytest

from prefalign.cli.main import main
from prefalign.data.sources import iterate, open_records
from prefalign_mesh3d.demo.shapes import boxes, draw_shapes
from prefalign_mesh3d.mesh.files import write_mesh

SMALL = '{"regions": 2, "blocks": 2, "offsets": 4}'


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "meshes"
    place.mkdir()
    for index, shape in enumerate(draw_shapes(2, 1)):
        write_mesh(shape, place / f"a{index}.ply")
    write_mesh(boxes([((0, 0, 0), (1, 1, 1))]), place / "b.obj")
    (place / "empty.stl").touch()
    (place / "one.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (place / "notes.txt").touch()
    return place


def run(capsys, *arguments):
    code = main(["mesh3d", "curate", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_json(capsys, folder, tmp_path):
    out = tmp_path / "sets" / "a.parquet"
    code, told, err = run(capsys, folder, "--out", out, "--settings", SMALL, "--points", 32, "--json")
    told = json.loads(told)
    assert (code, err) == (0, "")
    assert (told["files"], told["records"], told["kept"]["meshes"]) == (5, 3, 3)
    assert told["reasons"] == {"empty": 1, "too few faces": 1}
    assert [each["file"] for each in told["rejected"]] == ["empty.stl", "one.obj"]
    assert told["rejected"][0]["problem"] == "the file is empty"
    assert told["passed_over"] == {".txt": 1}
    assert told["out"] == str(out)
    assert 0 < told["seconds"] < 60
    assert len(list(iterate(open_records(out)))) == 3


def test_the_tables_name_the_thresholds(capsys, folder, tmp_path):
    code, told, _ = run(capsys, folder, "--out", tmp_path / "a.parquet", "--settings", SMALL, "--boundary", 0.25)
    assert code == 0
    assert '"boundary": 0.25' in told
    assert '"max_faces": 8000' in told
    assert "3 of 5 files kept, 3 records; passed over: 1 .txt" in told
    assert "too few faces  1" in told
    assert "1 faces on the grid, and min_faces is 4" in told


def test_options_reach_the_set(capsys, folder, tmp_path):
    out = tmp_path / "a.parquet"
    options = ["--tokenizer", "coord9", "--settings", '{"levels": 32}', "--points", 16, "--copies", 2, "--seed", 3]
    options += ["--turns-about", "z", "--mirror", "x", "--min-faces", 1, "--max-faces", 12, "--lost", 0.2]
    options += ["--boundary", 1, "--non-manifold", 0.05, "--parts", 2]
    code, told, _ = run(capsys, folder, "--out", out, *options, "--json")
    settings = json.loads(told)["settings"]
    assert code == 0
    assert (settings["points"], settings["copies"], settings["seed"]) == (16, 2, 3)
    assert (settings["augmentation"]["turns_about"], settings["augmentation"]["mirror"]) == ("z", "x")
    assert settings["quality"] == {
        "min_faces": 1,
        "max_faces": 12,
        "lost": 0.2,
        "boundary": 1.0,
        "non_manifold": 0.05,
        "parts": 2,
    }
    assert settings["tokenizer"]["name"] == "coord9"
    # The box and the triangle, each with a copy; 9 tokens a face, and the end.
    records = list(iterate(open_records(out)))
    assert [record.id for record in records] == ["b.obj", "b.obj#1", "one.obj", "one.obj#1"]
    assert [len(record.responses[0].token_ids) for record in records] == [109, 109, 10, 10]


def test_files_by_name(capsys, folder, tmp_path):
    files = [folder / "b.obj", folder / "gone.obj"]
    code, told, _ = run(capsys, *files, "--out", tmp_path / "a.parquet", "--settings", SMALL, "--json")
    told = json.loads(told)
    assert (code, told["records"], told["reasons"]) == (0, 1, {"not a file": 1})


def test_nothing_kept(capsys, folder, tmp_path):
    code, _, err = run(capsys, folder / "one.obj", "--out", tmp_path / "a.parquet")
    assert (code, err) == (1, "error: no mesh of 1 files was kept\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tokenizer", "deepmsh"], "unknown tokenizer 'deepmsh'; did you mean 'deepmesh'?"),
        (["--settings", "{"], "--settings is not JSON"),
        (["--mirror", "w"], "mirror: expected axes among 'xyz', got 'w'"),
        (["--lost", "2"], "lost: expected a share in [0, 1], got 2.0"),
        (["--copies", "0"], "expected points and copies of at least 1"),
        (["--out", "a.jsonl"], "--out a.jsonl: expected a name ending in .parquet"),
    ],
)
def test_arguments_that_make_no_sense(capsys, folder, tmp_path, options, message):
    code, out, err = run(capsys, folder, "--out", tmp_path / "a.parquet", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "a.parquet").exists()
