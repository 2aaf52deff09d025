"""Strips: by hand and by law."""

from itertools import chain

import numpy as np
import pytest

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import canonical, quantise
from prefalign_mesh3d.tokenizers.amt import AMT


def test_vocabulary():
    assert (AMT().separator, AMT().bos_id, AMT().eos_id) == (128, 129, 130)


def test_a_strip_by_hand():
    """A quad and a far triangle: 0 (0 0 0), 1 (1 0 0), 2 (0 1 0), 3 (1 1 0), 4 (0 0 3), 5 (1 0 3), 6 (0 1 3).

    The first face 0 1 2 is written whole; over its last edge, 1 2, lies 3. Over 2 3 lies nothing: a separator, 4 5 6.
    """
    cells = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 3), (1, 0, 3), (0, 1, 3)])
    grid = canonical(cells, np.array([(0, 1, 2), (2, 1, 3), (4, 6, 5)]), 4)
    assert AMT(4).encode(grid).tolist() == [*cells[:4].ravel(), 4, *cells[4:].ravel()]


def test_the_lowest_neighbour_goes_first():
    """Three faces at edge 1 2, beyond 0 1 2: with 3 and with 4. The strip takes 3; 4 begins a strip of its own."""
    cells = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 1, 1)])
    grid = canonical(cells, np.array([(0, 1, 2), (2, 1, 3), (1, 2, 4)]), 4)
    assert AMT(4).encode(grid).tolist() == [*cells[:4].ravel(), 4, *cells[[1, 2, 4]].ravel()]


def literal_strips(faces):
    """Vertices of strips by searching, as the words go."""
    unvisited = [tuple(sorted(face)) for face in faces.tolist()]
    strips = []
    while unvisited:
        strip = list(unvisited.pop(0))
        while True:
            a, b = strip[-2:]
            fitting = sorted(c for face in unvisited if {a, b} < set(face) for c in set(face) - {a, b})
            if not fitting:
                break
            unvisited.remove(tuple(sorted((a, b, fitting[0]))))
            strip.append(fitting[0])
        strips.append(strip)
    return strips


def test_strips_are_those_described(any_mesh):
    grid = quantise(any_mesh, 32)
    how = AMT(32)
    strips = literal_strips(grid.faces)
    tokens = how.encode(grid)
    expected = [[32, *grid.vertices[strip].ravel()] for strip in strips]
    assert tokens.tolist() == list(chain.from_iterable(expected))[1:]
    # The counting law: 3F + 7S - 1.
    assert len(tokens) == 3 * len(grid.faces) + 7 * len(strips) - 1


def test_the_floor_is_one_strip():
    """A ribbon of triangles, numbered along it, is one strip: 3F + 6 tokens, a third of 9F for large F."""
    x = np.arange(60)
    cells = np.stack([np.tile(x, 2), np.repeat([0, 1], 60), np.tile(x, 2)], axis=1)
    i, j = x[:-1], x[1:]
    faces = np.concatenate([np.stack([i, j, i + 60], axis=1), np.stack([i + 60, j, j + 60], axis=1)])
    assert len(AMT(64).encode(canonical(cells, faces, 64))) == 3 * len(faces) + 6


def test_separators_and_cut_vertices_are_read_for_what_they_are():
    """Separator 4. A coordinate cut off, two separators in a row, a strip of two vertices."""
    how = AMT(4)
    strip = [0, 0, 0, 1, 0, 0, 0, 1, 0]
    decoded = how.decode([4, *strip, 1, 4, 4, 0, 0, 0, 1, 1, 1, 4, 2, 2, 2, 1, 2, 2, 2, 1, 2, 2, 2, 1])
    assert decoded.mesh.faces.shape == (3, 3)
    assert decoded.report.bad_tokens == 1 + 1 + 7
    assert decoded.face_of_token.tolist() == [0] * 10 + [-1] * 9 + [1] * 10 + [2] * 3


@pytest.mark.parametrize("levels", [1, 0, -4, 2.5, True, "128", 1 << 21])
def test_impossible_levels_are_refused(levels):
    with pytest.raises(MeshError, match="amt: expected between 2 and"):
        AMT(levels)
