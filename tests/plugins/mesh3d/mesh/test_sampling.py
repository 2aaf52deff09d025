"""Points on surfaces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.sampling import surface_points

#: Two right triangles in the plane z = 0 with areas 1/2 and 3/2, and one of no area between them.
PLATES = Mesh(
    np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [8, 0, 0], [5, 1, 0]], float),
    np.array([[0, 1, 2], [0, 1, 1], [3, 5, 4]]),
)


def test_points_lie_on_their_faces_with_the_faces_normals():
    found = surface_points(PLATES, 500, 7)
    assert found.points.shape == found.normals.shape == (500, 3)
    assert (found.points[:, 2] == 0).all()
    x, y = found.points[:, 0], found.points[:, 1]
    inside = np.where(found.faces == 0, x + y, (x - 5) / 3 + y)
    assert (inside <= 1 + 1e-12).all()
    assert (np.minimum(np.where(found.faces == 0, x, x - 5), y) >= 0).all()
    # The second plate is wound clockwise seen from above.
    np.testing.assert_array_equal(found.normals[:, 2], np.where(found.faces == 0, 1, -1))


def test_faces_are_drawn_in_proportion_to_their_area():
    """Areas 1/2 and 3/2: a quarter of 40,000 points, standard deviation 87."""
    found = surface_points(PLATES, 40_000, 0)
    assert set(found.faces) == {0, 2}
    assert abs(int((found.faces == 0).sum()) - 10_000) < 4 * 87


def test_points_are_uniform_within_a_face():
    """Their mean is the centroid (1/3, 1/3), and the half next to the corner, x + y < 1/2, holds a quarter."""
    found = surface_points(Mesh(PLATES.vertices, PLATES.faces[:1]), 40_000, 1).points
    np.testing.assert_allclose(found[:, :2].mean(0), 1 / 3, atol=0.005)
    assert abs(np.mean(found[:, 0] + found[:, 1] < 0.5) - 0.25) < 0.01
    # E[x²] = 1/6 on the triangle.
    assert abs(np.mean(found[:, 0] ** 2) - 1 / 6) < 0.005


def test_a_draw_at_the_very_end_falls_on_a_face_with_area(monkeypatch):
    """A number just below 1 times the whole area may round up to it; the last face, of no area, is not meant."""

    class Ones:
        def random(self, shape):
            return np.ones(shape)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Ones())
    mesh = Mesh(PLATES.vertices, PLATES.faces[[0, 2, 1]])
    assert surface_points(mesh, 2, 0).faces.tolist() == [1, 1]


def test_the_seed_decides():
    first, again, other = (surface_points(PLATES, 10, seed).points for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@settings(max_examples=50, deadline=None)
@given(st.integers(-290, 290), st.integers(-10, 10))
def test_the_unit_of_the_coordinates_decides_nothing(power, shift):
    """Scaled by 2^p or moved, the points are those of the plain mesh, scaled and moved; extremes do not overflow."""
    scale = 2.0**power
    plain, scaled = surface_points(PLATES, 20, 5), surface_points(Mesh(PLATES.vertices * scale, PLATES.faces), 20, 5)
    np.testing.assert_allclose(scaled.points, plain.points * scale, rtol=1e-12)
    np.testing.assert_array_equal(scaled.faces, plain.faces)
    np.testing.assert_allclose(scaled.normals, plain.normals, atol=1e-12)
    moved = surface_points(Mesh(PLATES.vertices + shift, PLATES.faces), 20, 5)
    np.testing.assert_allclose(moved.points, plain.points + shift, atol=1e-12)


def test_coordinates_near_the_largest_number():
    huge = surface_points(Mesh((PLATES.vertices - 4) * 4e307, PLATES.faces), 20, 5)
    assert np.isfinite(huge.points).all()
    np.testing.assert_array_equal(huge.faces, surface_points(PLATES, 20, 5).faces)


@pytest.mark.parametrize(
    ("mesh", "count", "seed", "message"),
    [
        (Mesh(PLATES.vertices, np.zeros((0, 3))), 5, 0, "it has no faces"),
        (Mesh(PLATES.vertices, PLATES.faces[1:2]), 5, 0, "none of its 1 faces has any area"),
        (Mesh(np.ones((3, 3)), PLATES.faces[:1]), 5, 0, "none of its 1 faces has any area"),
        (PLATES, 0, 0, "at least 1 point, got 0"),
        (PLATES, 5, -1, "seed of at least 0, got -1"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(mesh, count, seed, message):
    with pytest.raises(MeshError, match=message):
        surface_points(mesh, count, seed)
