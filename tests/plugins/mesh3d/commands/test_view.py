"""`prefalign mesh3d view`, from files to pictures and GLB."""

import json

import numpy as np
import pytest
from PIL import Image

from prefalign.cli.main import main
from prefalign_mesh3d.demo.shapes import boxes
from prefalign_mesh3d.mesh.files import read_mesh, write_mesh
from prefalign_mesh3d.mesh.mesh import Mesh

#: Narrow and tall: 1 x 2 x 4.
TOWER = boxes([((0, 0, 0), (1, 2, 4))])


@pytest.fixture
def tower(tmp_path):
    path = tmp_path / "tower.obj"
    write_mesh(TOWER, path)
    return path


def run(capsys, *arguments):
    code = main(["mesh3d", "view", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def pixels(path):
    """(rows, columns, 3) colours."""
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image).astype(int)


def drawn(path):
    """(rows, columns) bool of pixels that a surface covers, which is darker than paper."""
    return (pixels(path) < 195).any(-1)


def test_a_picture_per_view_and_a_row_per_file(capsys, tower, tmp_path):
    out = tmp_path / "new" / "sheet.png"
    code, printed, error = run(capsys, tower, tower, "--out", out, "--views", 3, "--size", 50)
    assert (code, error) == (0, "")
    assert f"2 drawn in {out}" in printed
    height, width, _ = pixels(out).shape
    assert width == 3 * 50 + 2 * 8  # and a gap on either side
    assert height > 2 * 50
    columns = drawn(out)[8:58, 8:158].reshape(50, 3, 50).any(0)
    assert columns.any(1).all()  # something in each of the three
    assert not columns[:, [0, 49]].any()  # and none cut off


def test_json_says_what_was_drawn(capsys, tower, tmp_path):
    code, printed, _ = run(capsys, tower, "--out", tmp_path / "a.png", "--size", 20, "--json")
    assert code == 0
    assert json.loads(printed) == [{"file": str(tower), "faces": 12, "vertices": 8, "up": "z"}]


def height(path):
    rows = drawn(path)[8:108].any(1)
    return int(rows.sum())


def test_the_format_or_the_option_says_what_is_up(capsys, tower, tmp_path):
    """The tower stands in an OBJ file, and lies in a GLB file of the same numbers."""
    lying = tmp_path / "lying.glb"
    write_mesh(TOWER, lying)
    heights = {}
    for name, arguments in {"obj": (tower,), "glb": (lying,), "glb z": (lying, "--up", "z")}.items():
        run(capsys, *arguments, "--out", tmp_path / "a.png", "--views", 1, "--size", 100)
        heights[name] = height(tmp_path / "a.png")
    assert heights["obj"] == heights["glb z"] > heights["glb"] + 15


def test_glb_files_stand_upright_and_look_alike(capsys, tower, tmp_path):
    code, printed, _ = run(capsys, tower, "--out", tmp_path / "a.png", "--size", 40, "--glb", "--json")
    assert code == 0
    written = tmp_path / "a-tower.glb"
    assert json.loads(printed)[0]["glb"] == str(written)
    mesh = read_mesh(written)
    assert np.ptp(mesh.vertices, axis=0).tolist() == [2, 4, 1]  # y is up in this format
    a, b, c = mesh.vertices[mesh.faces.T]
    assert (np.cross(a, b) * c).sum() / 6 == pytest.approx(8)  # a mirror would turn the sign of the volume
    run(capsys, written, "--out", tmp_path / "b.png", "--size", 40)
    first, second = (pixels(tmp_path / name)[8:48] for name in ("a.png", "b.png"))
    assert np.abs(first - second).max() <= 1


def test_tokens_are_drawn_as_their_mesh(capsys, tower, tmp_path):
    assert main(["mesh3d", "tokenize", str(tower), "--out", str(tmp_path / "ids")]) == 0
    capsys.readouterr()
    code, printed, _ = run(capsys, tmp_path / "ids" / "tower.npz", "--out", tmp_path / "a.png", "--size", 20, "--json")
    assert code == 0
    assert json.loads(printed)[0]["faces"] == 12


def test_beside_a_reference_both_are_drawn_at_its_scale(capsys, tower, tmp_path):
    """A tower of half the size beside the whole one, in the frame of the latter; and one beside itself."""
    half, out = tmp_path / "half.obj", tmp_path / "a.png"
    write_mesh(Mesh(TOWER.vertices / 2, TOWER.faces), half)
    code, _, _ = run(capsys, half, tower, "--reference", tower, "--out", out, "--views", 1, "--size", 100)
    assert code == 0
    top = 8 + 25  # headings
    rows = [drawn(out)[start : start + 100] for start in (top, top + 100 + 17 + 16)]
    (small, whole), (same, beside) = [[row[:, start : start + 100].mean() for start in (8, 116)] for row in rows]
    assert whole > 3 * small > 0
    assert same == beside == whole
    code, _, error = run(capsys, half, tower, half, "--reference", tower, tower, "--out", out)
    assert code == 2
    assert "one for each of 3, got 2" in error


def test_what_dwarfs_its_reference_is_named(capsys, tower, tmp_path):
    speck = tmp_path / "speck.obj"
    write_mesh(Mesh(TOWER.vertices / 100, TOWER.faces), speck)
    code, _, error = run(capsys, tower, "--reference", speck, "--out", tmp_path / "a.png")
    assert code == 1
    assert f"{tower}: a point lies" in error
    code, _, error = run(capsys, tower, "--reference", tmp_path / "gone.obj", "--out", tmp_path / "a.png")
    assert code == 1
    assert "gone.obj" in error


def test_flipped_faces_show(capsys, tower, tmp_path):
    flipped = tmp_path / "flipped.obj"
    write_mesh(Mesh(TOWER.vertices, TOWER.faces[:, ::-1]), flipped)
    for path, reddish in ((tower, False), (flipped, True)):
        run(capsys, path, "--out", tmp_path / "a.png", "--size", 40)
        colours = pixels(tmp_path / "a.png")[8:48]
        assert bool((colours[..., 0] > colours[..., 2] + 40).any()) is reddish


def test_files_that_cannot_be_read_are_named_and_the_others_drawn(capsys, tower, tmp_path):
    bad = tmp_path / "bad.stl"
    bad.write_bytes(b"")
    code, printed, error = run(capsys, bad, tower, "--out", tmp_path / "a.png", "--size", 20, "--json")
    assert code == 1
    assert f"error: {bad}: " in error
    assert ["error" in row for row in json.loads(printed)] == [True, False]
    assert (tmp_path / "a.png").is_file()
    code, printed, _ = run(capsys, bad, "--out", tmp_path / "none.png")
    assert code == 1
    assert "drawn" not in printed
    assert not (tmp_path / "none.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "a.jpg"], "ends in .png"),
        (["--out", "a.png", "--views", "0"], "at least 1 view"),
        (["--out", "a.png", "--size", "0"], "at least 1 pixel"),
        (["--out", "a.png", "--size", "20000"], "at most 16384 samples"),
        (["--out", "a.png", "--elevation", "91"], "elevation from -90 to 90"),
    ],
)
def test_arguments_that_make_no_sense(capsys, tower, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, printed, error = run(capsys, tower, *arguments)
    assert (code, printed) == (2, "")
    assert message in error
    assert not list(tmp_path.glob("a.*"))


def test_nothing_is_written_over_what_is_read(capsys, tmp_path):
    source = tmp_path / "a-tower.glb"
    write_mesh(TOWER, source)
    other = tmp_path / "tower.obj"
    write_mesh(TOWER, other)
    code, _, error = run(capsys, source, other, "--out", tmp_path / "a.png", "--glb")
    assert code == 2
    assert "a-tower.glb would be written over" in error
    twin = tmp_path / "twin"
    twin.mkdir()
    write_mesh(TOWER, twin / "tower.ply")
    code, _, error = run(capsys, other, twin / "tower.ply", "--out", tmp_path / "b.png", "--glb")
    assert code == 2
    assert f"would be written over {other}" in error
