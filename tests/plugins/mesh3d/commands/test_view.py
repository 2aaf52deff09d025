"""`prefalign mesh3d view`."""

import numpy as np
import pytest
from PIL import Image

from prefalign.cli.main import main as prefalign
from prefalign_mesh3d.commands.view import Look, main, view
from prefalign_mesh3d.demo.shapes import boxes
from prefalign_mesh3d.mesh.files import read_mesh, write_mesh
from prefalign_mesh3d.mesh.grid import frame_of, quantise
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.tokenizers.coord9 import Coord9
from prefalign_mesh3d.tokenizers.files import TokenFile, write_tokens


@pytest.fixture
def made(tmp_path):
    """Files of a box, of one half as large without the side on top, and of the first one's tokens."""
    whole = boxes([((0.0, 0.0, 0.0), (2.0, 1.0, 1.0))])
    small = boxes([((0.0, 0.0, 0.0), (1.0, 0.5, 0.5))])
    write_mesh(whole, tmp_path / "whole.obj")
    write_mesh(Mesh(small.vertices, np.delete(small.faces, [1, 7], 0)), tmp_path / "small.glb")
    frame, tokenizer = frame_of(whole), Coord9(levels=32)
    write_tokens(TokenFile(tokenizer.encode(quantise(whole, 32, frame)), tokenizer, frame), tmp_path / "whole.npz")
    return tmp_path


def row(sheet, number, views, size=64):
    """The views of a row, side by side; above it headings of 25 pixels, below each one two lines of caption."""
    top = 8 + 25 + number * (size + 34 + 16)
    return np.asarray(sheet)[top : top + size, 8 : 8 + views * (size + 8)]


def test_a_row_a_file_and_a_column_a_view(made, capsys):
    out = made / "sheet.png"
    assert (
        main([str(made / "whole.obj"), str(made / "small.glb"), "--out", str(out), "--views", "3", "--size", "64"]) == 0
    )
    sheet = Image.open(out)
    assert sheet.format == "PNG"
    assert sheet.size == (8 + 3 * 72, 33 + 2 * (64 + 34 + 16))
    for number in (0, 1):
        for column in range(3):
            tile = row(sheet, number, 3)[:, column * 72 :][:, :64]
            assert 0.1 < (tile < 250).any(-1).mean() < 0.9
    assert "2 meshes from 3 sides, 224 x 261 pixels" in capsys.readouterr().out
    # Without its top, the inside of the small box shows, which is reddish.
    reds = [(row(sheet, number, 3)[..., 0].astype(int) - row(sheet, number, 3)[..., 2]).max() for number in (0, 1)]
    assert reds[0] <= 0
    assert reds[1] > 40


def test_beside_a_reference_sizes_can_be_compared(made):
    look = Look(views=1, size=64, elevation=0)
    sheet, meshes = view([made / "whole.obj", made / "small.glb"], [made / "whole.obj"], look)
    shares = [(row(sheet, number, 1)[:, :64] < 250).any(-1).mean() for number in range(3)]
    assert len(meshes) == 2
    assert shares[0] == shares[1] > 3 * shares[2] > 0
    alone, _ = view([made / "small.glb"], [], look)
    assert (row(alone, 0, 1)[:, :64] < 250).any(-1).mean() > 3 * shares[2]
    each, _ = view([made / "whole.obj", made / "small.glb"], [made / "small.glb", made / "whole.obj"], look)
    assert each.height == 33 + 4 * (64 + 34 + 16)


def test_tokens_are_drawn_as_their_mesh_and_glb_files_are_written(made):
    out, folder = made / "sheet.png", made / "glb"
    files = [str(made / "whole.npz"), str(made / "small.glb")]
    assert prefalign(["mesh3d", "view", *files, "--out", str(out), "--size", "64", "--glb", str(folder)]) == 0
    assert out.exists()
    assert len(read_mesh(folder / "whole.glb").faces) == 12
    assert len(read_mesh(folder / "small.glb").faces) == 10
    tokens, _ = view([made / "whole.npz"], [], Look(size=64))
    mesh, _ = view([made / "whole.obj"], [], Look(size=64))
    difference = row(tokens, 0, 4).astype(int) - row(mesh, 0, 4)
    assert (np.abs(difference).max(-1) > 30).mean() < 0.03


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["whole.obj", "--out", "sheet.jpg"], "expected a name that ends in .png"),
        (["gone.obj", "--out", "sheet.png"], "gone.obj: cannot be opened"),
        (["whole.obj", "--out", "sheet.png", "--views", "0"], "expected 1 to 64 views, got 0"),
        (["whole.obj", "--out", "sheet.png", "--size", "4"], "expected 16 to 2048 pixels"),
        (["whole.obj", "--out", "sheet.png", "--elevation", "99"], "elevation from -90 to 90"),
        (["whole.obj", "--out", "no/such/sheet.png"], "No such file or directory"),
        (["whole.obj", "--out", "sheet.png", "--reference", "whole.obj", "small.glb"], "one for each of 1, got 2"),
        (["whole.obj", "whole.npz", "--out", "sheet.png", "--glb", "glb"], "would both be written"),
        (["empty.npz", "--out", "sheet.png"], "empty.npz: its tokens have no face"),
        (["whole.obj", "--out", "sheet.png", "--reference", "speck.obj"], "whole.obj: a point lies"),
    ],
)
def test_says_what_is_wrong(made, monkeypatch, capsys, arguments, problem):
    tokenizer = Coord9(levels=32)
    write_tokens(
        TokenFile(np.zeros(0, np.int64), tokenizer, frame_of(read_mesh(made / "whole.obj"))), made / "empty.npz"
    )
    write_mesh(boxes([((0.0, 0.0, 0.0), (0.01, 0.01, 0.01))]), made / "speck.obj")
    monkeypatch.chdir(made)
    assert main(arguments) == 2
    assert problem in capsys.readouterr().err
    assert not (made / "sheet.png").exists()
