import itertools

import numpy as np
import pytest
from PIL import Image

from prefalign_vision_llm.demo.icons import IconLibrary
from prefalign_vision_llm.demo.rendering import CutoutLibrary, render
from prefalign_vision_llm.demo.scenes import BIASED, ICON_WORLD, Context, Placement, Scene, World, sample_scene

QUIET = World(ICON_WORLD.contexts, pixel_noise=0.0)


def _scene(*placements, seed=1):
    return Scene("kitchen", placements, (0, 0, 0), seed)


def _pixels(scene, world=ICON_WORLD, sprites=None):
    return np.asarray(render(scene, world, sprites or IconLibrary())).astype(int)


def test_a_scene_is_drawn_the_same_every_time():
    rng = np.random.default_rng(0)
    first, second = (sample_scene(ICON_WORLD, BIASED, rng) for _ in range(2))
    assert np.array_equal(_pixels(first), _pixels(first))
    assert not np.array_equal(_pixels(first), _pixels(second))


@pytest.mark.parametrize("size", [12, 13, 14])
def test_every_icon_differs_clearly_from_every_other(size):
    """At least 15 % of the pixels of a cell differ by more than 60 of 255, ten times the noise."""
    drawn = {name: _pixels(_scene(Placement(name, 4, (1, 1), size)), QUIET) for name in ICON_WORLD.objects}
    for first, second in itertools.combinations(drawn, 2):
        apart = np.abs(drawn[first] - drawn[second]).max(axis=2)[16:32, 16:32]
        assert (apart > 60).mean() > 0.15, (first, second)


@pytest.mark.parametrize("name", ICON_WORLD.objects)
def test_every_icon_stands_out_from_every_background(name):
    for context in QUIET.contexts:
        with_icon = _pixels(Scene(context.name, (Placement(name, 4, (1, 1), 12),), (0, 0, 0), 1), QUIET)
        apart = np.abs(with_icon - np.array(context.tint)).max(axis=2)[16:32, 16:32]
        assert (apart > 60).mean() > 0.12, context.name


def test_an_object_stays_in_its_cell():
    """Cell 5 of a 3x3 grid is row 1, column 2; offset (2, 0) and size 14 reach the cell's last column, not past it."""
    pixels = _pixels(_scene(Placement("plate", 5, (2, 0), 14)), QUIET)
    changed = (pixels != np.array(QUIET.context("kitchen").tint)).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max()) == (16, 29)
    assert (columns.min(), columns.max()) == (34, 47)


def test_background_is_the_shifted_tint_with_noise_of_the_stated_size():
    pixels = _pixels(Scene("kitchen", (), (5, -3, 0), 7))
    assert pixels.mean(axis=(0, 1)) == pytest.approx([237, 213, 190], abs=0.5)
    assert pixels[..., 2].std() == pytest.approx(6.0, abs=0.3)


def _cutout(path, colour, size=(20, 10), margin=5):
    image = Image.new("RGBA", (size[0] + 2 * margin, size[1] + 2 * margin))
    image.paste((*colour, 255), (margin, margin, margin + size[0], margin + size[1]))
    path.parent.mkdir(exist_ok=True)
    image.save(path)


WORLD = World(
    (Context("sea", (0, 0, 200), ("fish", "boat")),),
    grid=2,
    cell=32,
    object_size=(24, 28),
    max_offset=4,
    max_objects=2,
    pixel_noise=0.0,
)


@pytest.fixture
def cutouts(tmp_path):
    _cutout(tmp_path / "fish.png", (250, 0, 0))
    _cutout(tmp_path / "boat" / "a.png", (0, 250, 0))
    _cutout(tmp_path / "boat" / "b.png", (250, 250, 0))
    return tmp_path


def test_cutouts_are_trimmed_scaled_and_centred(cutouts):
    """A 20 x 10 picture in a square of 24 becomes 24 x 12, 6 pixels below the square's upper edge at y = 32 + 4."""
    library = CutoutLibrary(cutouts, WORLD.objects)
    pixels = _pixels(Scene("sea", (Placement("fish", 3, (0, 4), 24),), (0, 0, 0), 1), WORLD, library)
    assert pixels.shape == (64, 64, 3)
    rows, columns = np.nonzero(pixels[..., 0] > 200)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (42, 53, 32, 55)


def test_a_scene_seed_chooses_among_several_cutouts(cutouts):
    library = CutoutLibrary(cutouts, WORLD.objects)
    scenes = [Scene("sea", (Placement("boat", 0, (0, 0), 24),), (0, 0, 0), seed) for seed in range(12)]
    reds = [_pixels(scene, WORLD, library)[..., 0].max() for scene in scenes]
    assert {red > 200 for red in reds} == {True, False}
    assert reds == [_pixels(scene, WORLD, library)[..., 0].max() for scene in scenes]


def test_the_fingerprint_follows_the_pictures(cutouts):
    before = CutoutLibrary(cutouts, WORLD.objects).fingerprint
    assert CutoutLibrary(cutouts, WORLD.objects).fingerprint == before
    _cutout(cutouts / "fish.png", (249, 0, 0))
    assert CutoutLibrary(cutouts, WORLD.objects).fingerprint != before


def test_unusable_cutouts_are_refused(cutouts, tmp_path_factory):
    with pytest.raises(ValueError, match=r"neither bird\.png nor a folder bird"):
        CutoutLibrary(cutouts, ["bird"])
    Image.new("RGB", (4, 4)).save(cutouts / "opaque.png")
    with pytest.raises(ValueError, match="no transparent ground"):
        CutoutLibrary(cutouts, ["opaque"])
    Image.new("RGBA", (4, 4)).save(cutouts / "empty.png")
    with pytest.raises(ValueError, match="transparent everywhere"):
        CutoutLibrary(cutouts, ["empty"])
    (cutouts / "text.png").write_text("not a picture")
    with pytest.raises(ValueError, match="cannot be read as a PNG image"):
        CutoutLibrary(cutouts, ["text"])
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    _cutout(outside, (1, 2, 3))
    (cutouts / "secret.png").symlink_to(outside)
    with pytest.raises(ValueError, match="leads out of"):
        CutoutLibrary(cutouts, ["secret"])
