"""The furniture of the demonstration: closed, apart, reproducible, and never twice where it must not be."""

import numpy as np
import pytest

from prefalign_mesh3d.demo.shapes import FAMILIES, GAP, LEVELS, STEPS, boxes, draw_shapes, shape_key
from prefalign_mesh3d.mesh.grid import quantise
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.functional.edges import edges_of, is_watertight, winding_ratio
from prefalign_mesh3d.metrics.functional.topology import components
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh

SHAPES = draw_shapes(120, 0)
STEPWISE = np.linspace(0, 1, STEPS)


def volume(mesh):
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    return float(np.einsum("ij,ij->", a, np.cross(b, c))) / 6


def corners(family, share):
    """A family's parts with every measure at the same share of its range."""
    return family(lambda low, high: low + (high - low) * share)


def test_a_box_is_closed_and_faces_outwards():
    mesh = boxes([((1, 2, 3), (2, 4, 6))])
    assert (mesh.vertices.shape, mesh.faces.shape) == ((8, 3), (12, 3))
    assert is_watertight(edges_of(mesh))
    assert volume(mesh) == pytest.approx(1 * 2 * 3)
    np.testing.assert_array_equal(mesh.vertices.min(0), [1, 2, 3])
    np.testing.assert_array_equal(mesh.vertices.max(0), [2, 4, 6])


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@pytest.mark.parametrize("share", STEPWISE)
def test_parts_have_room_and_do_not_touch(family, share):
    parts = corners(family, share)
    for low, high in parts:
        assert (np.array(high) - np.array(low) > 0.1).all()
    for index, (low, high) in enumerate(parts):
        for other_low, other_high in parts[:index]:
            apart = np.maximum(np.array(other_low) - np.array(high), np.array(low) - np.array(other_high)).max()
            assert apart >= GAP - 1e-9


@pytest.mark.parametrize("shape", SHAPES[::3], ids=range(40))
def test_shapes_stay_closed_parts_on_the_grid(shape):
    grid = quantise(shape, LEVELS)
    edges = edges_of(grid)
    assert len(grid.faces) == len(shape.faces)
    assert 24 <= len(grid.faces) <= 36
    assert is_watertight(edges)
    assert winding_ratio(edges) == 1
    assert components(edges) == len(shape.faces) // 12
    assert volume(Mesh(grid.vertices, grid.faces)) > 0


def test_the_longest_side_is_about_two():
    sides = np.array([np.ptp(shape.vertices, axis=0).max() for shape in SHAPES])
    assert sides.min() >= 1.0
    assert sides.max() <= 3.0
    assert 1.5 < sides.mean() < 2.2


def test_every_family_is_drawn_about_as_often():
    # Two boxes are a bed or two steps; three are a table, a pedestal table or three steps.
    parts = np.array([len(shape.faces) // 12 for shape in SHAPES])
    assert set(parts.tolist()) == {2, 3}
    # Expected 3/8 + 1/14 of a quarter; five standard deviations are 0.22.
    assert abs(np.mean(parts == 2) - 0.25 * (1 + 3 / 7)) < 0.22


def test_equal_seeds_draw_equal_shapes():
    again, other = draw_shapes(5, 0), draw_shapes(5, 1)
    for first, second in zip(SHAPES, again, strict=False):
        np.testing.assert_array_equal(first.vertices, second.vertices)
    assert [shape_key(one) for one in again] != [shape_key(one) for one in other]
    # The first of many are those of few.
    assert [shape_key(one) for one in SHAPES[:5]] == [shape_key(one) for one in again]


def test_excluded_shapes_do_not_come_again():
    taken = {shape_key(shape) for shape in SHAPES}
    fresh = draw_shapes(120, 0, exclude=SHAPES)
    assert len(fresh) == 120
    assert not taken & {shape_key(shape) for shape in fresh}


def test_the_key_knows_the_shape_and_not_its_place():
    shape = SHAPES[0]
    # A power of two, so that the frame differs by the addend of 1e-6 alone.
    assert shape_key(Mesh(shape.vertices * 4 + 8, shape.faces[::-1])) == shape_key(shape)
    assert shape_key(Mesh(shape.vertices * [1, 1, 1.5], shape.faces)) != shape_key(shape)


def test_sequences_are_as_long_as_the_demonstration_expects():
    lengths = [len(DeepMesh(2, 2, 4).tokenize(shape)) for shape in SHAPES]
    # The demonstration samples 220 tokens at most.
    assert max(lengths) < 200
    assert 100 < np.mean(lengths) < 160
