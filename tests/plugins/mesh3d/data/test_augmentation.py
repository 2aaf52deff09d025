"""Copies: turned, scaled, mirrored, never inside out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefalign_mesh3d.data.augmentation import Augmentation, augmented, quarter_turns
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh

CORNERS = np.array([[0.0, 0, 0], [0.9, 0, 0], [0, 0.6, 0], [0, 0, 0.3]])
TETRAHEDRON = Mesh(CORNERS - 0.2, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))
STILL = {"turns_about": "", "scale": (1.0, 1.0)}
SEEDS = range(60)


def volume(mesh):
    """Signed: positive where faces turn counter-clockwise seen from outside."""
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    return float(np.einsum("ij,ij->", a, np.cross(b, c))) / 6


def matrices(**settings):
    return [Augmentation(**settings).matrix(seed) for seed in SEEDS]


def test_quarter_turns_about_x_are_the_four_known_ones():
    quarter = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    known = [np.linalg.matrix_power(quarter, n) for n in range(4)]
    found = matrices(scale=(1.0, 1.0))
    counts = [sum(np.array_equal(matrix, one) for matrix in found) for one in known]
    # Exact, each of them met, and nothing else.
    assert min(counts) >= 5
    assert sum(counts) == len(SEEDS)


@pytest.mark.parametrize(("axis", "start", "end"), [("x", 1, 2), ("y", 2, 0), ("z", 0, 1)])
def test_a_turn_takes_one_axis_to_the_next(axis, start, end):
    reached = {tuple(matrix[:, start].tolist()) for matrix in matrices(turns_about=axis, scale=(1.0, 1.0))}
    unit = np.eye(3)
    assert reached == {tuple(sign * unit[n]) for sign in (1, -1) for n in (start, end)}


@pytest.mark.parametrize(("axis", "start", "end"), [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_a_quarter_is_counter_clockwise_seen_from_the_tip(axis, start, end):
    unit = np.eye(3)
    np.testing.assert_array_equal(quarter_turns(axis, 1) @ unit[start], unit[end])
    np.testing.assert_array_equal(quarter_turns(axis, 1) @ unit[axis], unit[axis])
    np.testing.assert_array_equal(quarter_turns(axis, 3), quarter_turns(axis, 1).T)


def test_turns_about_three_axes_reach_all_rotations_of_the_cube():
    turns = Augmentation(turns_about="xyz", scale=(1.0, 1.0))
    assert len({tuple(turns.matrix(seed).ravel().tolist()) for seed in range(600)}) == 24


def test_factors_stay_in_their_ranges_and_fill_them():
    whole = np.array([matrix.diagonal() for matrix in matrices(turns_about="")])
    assert (whole == whole[:, :1]).all()
    assert 0.95 <= whole.min() < 0.96 < 1.04 < whole.max() <= 1.05
    single = np.array([matrix.diagonal() for matrix in matrices(turns_about="", scale=(1, 1), per_axis=(0.5, 2))])
    assert 0.5 <= single.min() < 0.6 < 1.9 < single.max() <= 2
    assert (np.ptp(single, axis=1) > 0).all()
    assert Augmentation(scale=(0.9, 1.1), per_axis=(0.8, 1.2)).largest == pytest.approx(1.32)


def test_mirrors_at_the_axes_named_and_in_half_of_the_cases():
    signs = np.array([matrix.diagonal() for matrix in matrices(mirror="xz", **STILL)])
    assert (signs[:, 1] == 1).all()
    for axis in (0, 2):
        assert 15 < (signs[:, axis] == -1).sum() < 45
    assert not np.array_equal(signs[:, 0], signs[:, 2])


@given(st.integers(0, 2**63 - 1), st.sampled_from(["", "x", "xyz"]), st.sampled_from(["", "y", "xyz"]))
def test_the_outside_stays_outside(seed, turns, mirror):
    copy = augmented(TETRAHEDRON, Augmentation(turns_about=turns, mirror=mirror, per_axis=(0.7, 1.3)), seed)
    factor = abs(np.linalg.det(Augmentation(turns_about=turns, mirror=mirror, per_axis=(0.7, 1.3)).matrix(seed)))
    assert volume(copy) == pytest.approx(factor * volume(TETRAHEDRON))
    assert volume(TETRAHEDRON) > 0


def test_a_pure_function_of_its_arguments():
    settings = Augmentation(mirror="xyz", per_axis=(0.9, 1.1))
    before = TETRAHEDRON.vertices.copy(), TETRAHEDRON.faces.copy()
    first, second = (augmented(TETRAHEDRON, settings, 7) for _ in range(2))
    np.testing.assert_array_equal(first.vertices, second.vertices)
    np.testing.assert_array_equal(first.faces, second.faces)
    assert not np.array_equal(first.vertices, augmented(TETRAHEDRON, settings, 8).vertices)
    np.testing.assert_array_equal(TETRAHEDRON.vertices, before[0])
    np.testing.assert_array_equal(TETRAHEDRON.faces, before[1])


def test_one_switch_does_not_change_what_the_others_draw():
    for seed in SEEDS:
        plain = Augmentation(turns_about="x").matrix(seed)
        mirrored = Augmentation(turns_about="x", mirror="xyz").matrix(seed)
        np.testing.assert_array_equal(np.abs(plain), np.abs(mirrored))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"turns_about": "w"}, "turns_about: expected axes among 'xyz', got 'w'"),
        ({"mirror": "X"}, "mirror: expected axes"),
        ({"scale": (1.1, 0.9)}, "scale: expected 0 < smallest <= largest"),
        ({"scale": (0.0, 1.0)}, "scale: expected"),
        ({"per_axis": (1.0, float("nan"))}, "per_axis: expected"),
    ],
)
def test_senseless_settings(settings, message):
    with pytest.raises(MeshError, match=message):
        Augmentation(**settings)
