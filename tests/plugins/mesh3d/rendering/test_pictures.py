"""Contact sheets and comparisons."""

import io

import numpy as np
import pytest
from PIL import Image

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.demo.shapes import boxes
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.rendering.cameras import ring_of_cameras
from prefalign_mesh3d.rendering.pictures import Example, Tile, comparison, contact_sheet, tile_of
from prefalign_mesh3d.rendering.render import render_mesh


def tile(colour, caption="", height=20, width=30):
    return Tile(np.full((height, width, 3), colour, np.uint8), caption)


def test_tiles_stand_where_they_should():
    """8 pixels around tiles of 30 x 20: the second column begins at 46, a caption of two lines takes 34."""
    sheet = np.asarray(contact_sheet([[tile(10, "a\nb"), tile(20)], [tile(30)]]))
    assert sheet.shape == (8 + 20 + 34 + 16 + 20 + 16, 8 + 2 * 38, 3)
    assert (sheet[8:28, 8:38] == 10).all()
    assert (sheet[8:28, 46:76] == 20).all()
    assert (sheet[78:98, 8:38] == 30).all()
    assert (sheet[78:98, 46:76] == 255).all()
    assert (sheet[28:62, 8:38] < 255).any()  # the caption
    assert (sheet[28:62, 46:76] == 255).all()


def test_headings_and_title_take_room_and_long_texts_are_cut():
    plain = contact_sheet([[tile(0)]])
    sheet = np.asarray(contact_sheet([[tile(0, "wide " * 40)]], ["a heading that is far too wide"], "also this " * 9))
    assert sheet.shape[0] > plain.height
    assert sheet.shape[1] == plain.width
    assert (sheet[:, 38:] == 255).all()  # nothing is drawn to the right of the tile


def test_refuses_what_is_no_sheet():
    with pytest.raises(PrefalignError, match="tiles of one shape, got none"):
        contact_sheet([])
    with pytest.raises(PrefalignError, match=r"tiles of one shape, got \[\(20, 30, 3\), \(21, 30, 3\)\]"):
        contact_sheet([[tile(0), tile(0, height=21)]])
    with pytest.raises(PrefalignError, match="too large"):
        contact_sheet([[tile(0, height=2000)]] * 17)


def test_a_tile_has_all_views_side_by_side():
    views = render_mesh(boxes([((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5))]), ring_of_cameras((0, 45)), 16)
    image = tile_of(views).image
    assert image.shape == (16, 32, 3)
    assert (image[:, 16:] == views.images[1].numpy()).all()


def test_a_comparison_shows_cloud_before_and_after_in_one_frame():
    """A box at its place, one shifted and half as large, nothing: only the first covers the cloud's picture."""
    whole = boxes([((2.0, 2.0, 2.0), (4.0, 4.0, 4.0))])
    half = boxes([((2.0, 2.0, 2.0), (3.0, 3.0, 3.0))])
    rng = np.random.default_rng(0)
    cloud = np.concatenate([rng.uniform(2, 4, (300, 3)), np.tile([1.0, 0, 0], (300, 1))], 1)
    made = comparison(
        [Example(cloud, whole, half), Example(cloud[:, :3], None, whole, ("points", "none", "x"))], size=64
    )
    sheet = np.asarray(made)
    top = 8 + 25
    cells = [[sheet[y : y + 64, 8 + 72 * column :][:, :64] for column in range(3)] for y in (top, top + 64 + 16)]
    shares = [[float((cell < 250).any(-1).mean()) for cell in row] for row in cells]
    assert shares[0][1] > 2 * shares[0][2] > 0.1
    assert shares[1][1] == 0
    assert shares[1][2] == pytest.approx(shares[0][1])
    outside = (cells[0][0] < 250).any(-1) & ~(cells[0][1] < 250).any(-1)
    assert outside.mean() < 0.02
    buffer = io.BytesIO()
    made.save(buffer, "PNG")
    assert Image.open(buffer).format == "PNG"


def test_a_comparison_refuses_a_cloud_without_points():
    with pytest.raises(MeshError, match="no points"):
        comparison([Example(np.zeros((0, 6)), None, None)])
