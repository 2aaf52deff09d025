"""Parts joined in their places."""

import numpy as np
import pytest

from prefalign_mesh3d.mesh.parts import Part, joined

TRIANGLE = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
FACE = np.array([[0, 1, 2]])


def moved(matrix=None, shift=(0, 0, 0)):
    full = np.eye(4)
    full[:3, :3] = np.eye(3) if matrix is None else matrix
    full[:3, 3] = shift
    return Part(TRIANGLE, FACE, full)


def test_each_part_stands_in_its_place():
    quarter = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    vertices, faces = joined([moved(), moved(quarter, (5, 0, 0))])
    np.testing.assert_array_equal(vertices[3:], [[5, 0, 0], [5, 1, 0], [4, 0, 0]])
    np.testing.assert_array_equal(faces, [[0, 1, 2], [3, 4, 5]])


def test_a_mirrored_part_keeps_its_outside():
    vertices, faces = joined([moved(np.diag([-1, 1, 1]))])
    a, b, c = vertices[faces[0]]
    # The triangle faces +z; a mirror at x = 0 leaves that as it is.
    assert np.cross(b - a, c - a)[2] > 0


def test_no_parts_are_an_empty_mesh():
    vertices, faces = joined([])
    assert vertices.shape == faces.shape == (0, 3)


@pytest.mark.parametrize("corner", [3, -1])
def test_a_part_does_not_reach_into_the_next(corner):
    part = Part(TRIANGLE, np.array([[0, 1, corner]]), np.eye(4))
    with pytest.raises(IndexError, match=r"expected vertex indices in \[0, 3\)"):
        joined([part, moved()])
