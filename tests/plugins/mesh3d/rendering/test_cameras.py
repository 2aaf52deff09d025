"""Where cameras stand and how they look."""

import math

import numpy as np
import pytest

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.rendering.cameras import Camera, ring_of_cameras, view_prompts


@pytest.mark.parametrize(
    ("azimuth", "elevation", "up", "place"),
    [
        (0, 0, "z", [2, 0, 0]),
        (90, 0, "z", [0, 2, 0]),
        (0, 90, "z", [0, 0, 2]),
        (0, 30, "z", [2 * math.cos(math.pi / 6), 0, 1]),
        (0, 0, "y", [0, 0, 2]),
        (90, 0, "y", [2, 0, 0]),
        (0, 90, "y", [0, 2, 0]),
    ],
)
def test_stands_where_its_angles_say(azimuth, elevation, up, place):
    assert Camera(azimuth, elevation, 2.0, up=up).position == pytest.approx(np.array(place, float), abs=1e-12)


@pytest.mark.parametrize("up", ["z", "y"])
@pytest.mark.parametrize("elevation", [-90, -20, 0, 45, 90])
def test_axes_are_a_turn_with_the_vertical_upwards(up, elevation):
    axes = Camera(33.0, elevation, 1.0, up=up).axes
    assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    vertical = axes[:, "xyz".index(up)]
    assert vertical[0] == pytest.approx(0, abs=1e-12)
    assert vertical[1] == pytest.approx(math.cos(math.radians(elevation)), abs=1e-12)


def test_what_is_at_the_right_hand():
    """From +x, with z up, +y is to the right."""
    assert Camera(0, 0, 1).axes[0] == pytest.approx(np.array([0, 1, 0.0]))


@pytest.mark.parametrize(
    ("azimuth", "elevation", "side"),
    [
        (0, 0, "front"),
        (45, 0, "front"),
        (46, 0, "side"),
        (-46, 0, "side"),
        (180, 10, "back"),
        (-180, 10, "back"),
        (225, 0, "back"),
        (360, 0, "front"),
        (0, 60, "overhead"),
    ],
)
def test_sides(azimuth, elevation, side):
    assert Camera(azimuth, elevation, 1).side == side


def test_prompts_say_the_side():
    ring = ring_of_cameras((0, 90, 180, 270))
    assert view_prompts("a chair", ring) == [f"a chair, {side} view" for side in ("front", "side", "back", "side")]
    assert view_prompts(" ", ring[:1]) == ["front view"]


def test_the_nearest_ring_that_shows_the_unit_ball():
    """The ball touches the cone of sight: sin(fov / 2) = 1 / distance."""
    (camera,) = ring_of_cameras((10,), fov=60)
    assert camera.distance == pytest.approx(2)
    assert ring_of_cameras((10,), fov=60, distance=7)[0].distance == 7


@pytest.mark.parametrize(
    "bad",
    [
        {"azimuth": math.nan},
        {"elevation": 91},
        {"distance": 0},
        {"distance": math.inf},
        {"extent": -1},
        {"fov": 180},
        {"fov": 0},
        {"up": "x"},
    ],
)
def test_refuses_what_no_camera_is(bad):
    with pytest.raises(PrefalignError, match="expected"):
        Camera(**{"azimuth": 0, "elevation": 0, "distance": 1, **bad})


def test_refuses_an_empty_ring():
    with pytest.raises(PrefalignError, match="at least one azimuth"):
        ring_of_cameras(())
