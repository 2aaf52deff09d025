"""Nine coordinates a face."""

from itertools import chain

import numpy as np
import pytest

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import canonical, quantise
from prefalign_mesh3d.tokenizers.coord9 import Coord9


def test_two_faces_by_hand():
    """A (2 0 0), B (0 1 0), C (0 0 3), D (1 1 1), faces A C B and B C D.

    By z, y, x the order is A B D C: faces begin at their lowest vertex, A C B and B C D; each vertex is written z y x.
    By y, z, x it is A C B D: A C B, then C D B; written y z x.
    """
    cells = np.array([(2, 0, 0), (0, 1, 0), (0, 0, 3), (1, 1, 1)])
    grid = canonical(cells, np.array([(0, 2, 1), (1, 2, 3)]), 4)
    a, b, c, d = (0, 0, 2), (0, 1, 0), (3, 0, 0), (1, 1, 1)
    assert Coord9(4).encode(grid).tolist() == [*a, *c, *b, *b, *c, *d]
    a, b, c, d = (0, 0, 2), (1, 0, 0), (0, 3, 0), (1, 1, 1)
    assert Coord9(4, order="yzx").encode(grid).tolist() == [*a, *c, *b, *c, *d, *b]


@pytest.mark.parametrize("order", ["zyx", "yzx", "xyz"])
def test_nine_tokens_a_face_in_ascending_order(any_mesh, order):
    grid = quantise(any_mesh, 32)
    tokens = Coord9(32, order).encode(grid)
    assert len(tokens) == 9 * len(grid.faces)
    faces = tokens.reshape(-1, 3, 3)
    vertices = [[tuple(vertex) for vertex in face] for face in faces.tolist()]
    assert all(face[0] == min(face) for face in vertices)
    assert vertices == sorted(vertices)


def test_a_face_with_a_bad_token_is_left_out_and_the_next_is_not():
    how = Coord9(4)
    faces = [[0, 0, 0, 0, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 1, 0, 4, 0], [1, 0, 0, 1, 0, 1, 1, 1, 0], [1, 1]]
    decoded = how.decode([how.bos_id, *chain.from_iterable(faces)])
    assert decoded.mesh.faces.shape == (2, 3)
    assert decoded.report.bad_tokens == 9 + 2
    assert decoded.face_of_token.tolist() == [-1] + [0] * 9 + [-1] * 9 + [1] * 9 + [-1] * 2


@pytest.mark.parametrize("order", ["zy", "zzx", "zyxw", 5, None])
def test_other_orders_are_refused(order):
    with pytest.raises(MeshError, match="coord9: expected an order"):
        Coord9(order=order)
