"""Points in pixels."""

import pytest
import torch

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.rendering.cameras import Camera
from prefalign_mesh3d.rendering.coverage import SUBPIXELS
from prefalign_mesh3d.rendering.projection import projected


def points(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_a_perspective_view_by_hand():
    """From x = 4 with a field of view of 90 degrees the picture spans 2 · depth: at depth 4 a pixel of 10 is 0.8, at
    depth 2 it is 0.4."""
    place = projected(points([0, 0, 0], [0, 0.8, 0], [0, 0, 0.8], [2, 0.4, 0]), Camera(0, 0, 4, fov=90), 10)
    assert (place.screen / SUBPIXELS).tolist() == [[5, 5], [6, 5], [5, 4], [6, 5]]
    assert place.nearness.tolist() == [0.5, 0.5, 0.5, 1]
    assert place.depth(place.nearness).tolist() == pytest.approx([4, 4, 4, 2])


def test_parallel_rays_by_hand():
    place = projected(points([0, 0, 0], [0, 1, 0], [2, 1, 0]), Camera(0, 0, 4, fov=None, extent=4), 8)
    assert (place.screen / SUBPIXELS).tolist() == [[4, 4], [6, 4], [6, 4]]
    assert place.depth(place.nearness).tolist() == pytest.approx([4, 4, 2])


def test_refuses_what_lies_behind_or_beyond():
    with pytest.raises(MeshError, match="lies 1 behind the camera at distance 4"):
        projected(points([5, 0, 0]), Camera(0, 0, 4), 8)
    with pytest.raises(MeshError, match="pixels from the picture's corner"):
        projected(points([0, 0, 0], [4 - 1e-9, 1, 0]), Camera(0, 0, 4), 8)
