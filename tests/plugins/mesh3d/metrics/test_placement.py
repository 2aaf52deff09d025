"""The frame in which shapes are measured."""

import numpy as np
import pytest

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.placement import Placement

#: A box from (1, 2, 3) to (5, 4, 4): longest side 4, centre (3, 3, 3.5), farthest vertex sqrt(4 + 1 + 1/4) away.
SLAB = Mesh([[x, y, z] for x in (1, 5) for y in (2, 4) for z in (3, 4)], [[0, 1, 2], [5, 6, 7]])


@pytest.mark.parametrize(
    ("name", "scale"), [("side_1.9", 4 / 1.9), ("side_2", 2), ("sphere", 5.25**0.5)], ids=lambda value: str(value)[:8]
)
def test_frames(name, scale):
    frame = Placement(name).frame_of(SLAB)
    assert frame.centre == pytest.approx((3, 3, 3.5))
    assert frame.scale == pytest.approx(scale, rel=1e-6)


def test_none_leaves_shapes_alone():
    placed, other = Placement("none").place(SLAB, SLAB)
    np.testing.assert_array_equal(placed.vertices, SLAB.vertices)
    np.testing.assert_array_equal(other.vertices, SLAB.vertices)


def test_frames_of_each_or_of_the_reference():
    twice = Mesh(SLAB.vertices * 2 + 7, SLAB.faces)
    each, reference = Placement().place(twice, SLAB)
    np.testing.assert_allclose(each.vertices, reference.vertices, atol=1e-6)
    shared, same = Placement(frame="reference").place(twice, SLAB)
    np.testing.assert_array_equal(same.vertices, reference.vertices)
    np.testing.assert_allclose(np.ptp(shared.vertices, axis=0), 2 * np.ptp(same.vertices, axis=0))


def test_labels():
    assert Placement().label == "side_1.9"
    assert Placement("sphere", "reference").label == "sphere-reference"
    assert Placement("none", "reference").label == "none"


def test_shapes_of_any_size():
    for scale in (1e-3, 1e150, 1e307):
        frame = Placement("sphere").frame_of(Mesh(SLAB.vertices * scale, SLAB.faces))
        assert np.linalg.norm(frame.place(SLAB.vertices * scale), axis=1).max() == pytest.approx(1, rel=1e-3)
    assert Placement("sphere").frame_of(Mesh(np.ones((3, 3)), [[0, 1, 2]])).scale > 0


def test_what_cannot_be_is_refused():
    with pytest.raises(PrefalignError, match="unknown placement 'cube'"):
        Placement("cube")
    with pytest.raises(PrefalignError, match="unknown frame 'own'"):
        Placement(frame="own")
    with pytest.raises(MeshError, match="no vertices"):
        Placement().frame_of(Mesh(np.zeros((0, 3)), np.zeros((0, 3))))
