"""The walk over half-edges: by hand, by law, and its way round splits."""

import numpy as np
import pytest

from prefalign_mesh3d.mesh.grid import canonical, face_keys, quantise
from prefalign_mesh3d.tokenizers.edgerunner import EdgeRunner
from prefalign_mesh3d.tokenizers.traversal import LEFT, RIGHT, START, traverse


def test_vocabulary():
    assert (EdgeRunner().geometry_size, EdgeRunner().bos_id, EdgeRunner().eos_id) == (515, 515, 516)


def test_one_face_by_hand():
    """Every side is a border, the first wins: the side opposite corner 0. The face is written v, s, e: as stored."""
    grid = canonical(np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0)]), np.array([(0, 2, 1)]), 4)
    assert EdgeRunner(4).encode(grid).tolist() == [2, *(3, 3, 3), *(3, 4, 3), *(4, 3, 3)]


def test_a_strip_of_three_by_hand():
    """Vertices 0 (0 0 0), 1 (2 0 0), 2 (1 1 0), 3 (3 1 0), 4 (2 2 0); faces (0 1 2), (1 3 2), (2 3 4).

    By centroid (y, then x) the face 0 1 2 is first. Its sides: opposite 0 is shared; opposite 1, from 2 to 0, is a
    border: entered there, v = 1, s = 2, e = 0. All three are ends of borders, so seen. Its next side (0 1) is a border,
    its previous one (1 2) leads on: R, over the half-edge from s = 2 to e = 1 with 3 opposite. There next is (1 3), a
    border, and previous (3 2) leads on: R again, to 4, from s = 2 to e = 3. Both sides are borders: the end.
    """
    cells = np.array([(0, 0, 0), (2, 0, 0), (1, 1, 0), (3, 1, 0), (2, 2, 0)])
    grid = canonical(cells, np.array([(0, 1, 2), (1, 3, 2), (2, 3, 4)]), 4)
    letters, vertices = traverse(grid)
    assert letters.tolist() == [START, RIGHT, RIGHT]
    assert vertices.tolist() == [1, 2, 0, 3, 4]


def test_a_tetrahedron_by_hand(tetrahedron):
    """No border, nothing seen. Whichever face is first, its tip is new: L. The last vertex is new as well: L. Then the
    tip is one of the first face's, seen, and what is left lies on one side, until nothing is: one sub-mesh of 4 faces.
    """
    letters, vertices = traverse(quantise(tetrahedron, 64))
    assert letters.tolist()[:3] == [START, LEFT, LEFT]
    assert len(letters) == 4
    assert len(set(vertices[:4].tolist())) == 4


def test_the_counting_law(any_mesh):
    """4F + 6S tokens for S sub-meshes."""
    how = EdgeRunner()
    grid = quantise(any_mesh, how.levels)
    tokens = how.encode(grid)
    assert len(tokens) == 4 * len(grid.faces) + 6 * (tokens == START).sum()


def test_a_face_wound_against_its_neighbour_is_turned(ball):
    """A consistently wound ball with some faces turned comes back consistently wound: all out, or all in."""
    faces = ball.faces.copy()
    faces[::4] = faces[::4, ::-1]
    how = EdgeRunner()
    cells = quantise(ball, how.levels)
    turned = canonical(
        cells.vertices, np.where(np.arange(len(faces))[:, None] % 4 > 0, cells.faces, cells.faces[:, ::-1]), 512
    )
    keys = face_keys(how.decode(how.encode(turned)).mesh).tolist()
    inside_out = canonical(cells.vertices, cells.faces[:, ::-1], 512)
    assert keys in (face_keys(cells).tolist(), face_keys(inside_out).tolist())


def test_a_handle_and_a_split_come_back():
    """A torus splits the walk where both sides are one border; holes in it make splits of the other kind."""
    n, m = 12, 9
    i, j = np.meshgrid(np.arange(n), np.arange(m), indexing="ij")
    a, b = 2 * np.pi * i / n, 2 * np.pi * j / m
    radius = 3 + np.cos(b)
    points = np.stack([radius * np.cos(a), radius * np.sin(a), np.sin(b)], axis=-1).reshape(-1, 3)
    cells = np.round((points + 4) * 60).astype(int)
    corner = lambda p, q: ((p % n) * m + q % m).ravel()  # noqa: E731
    faces = np.concatenate(
        [
            np.stack([corner(i, j), corner(i + 1, j), corner(i + 1, j + 1)], axis=1),
            np.stack([corner(i, j), corner(i + 1, j + 1), corner(i, j + 1)], axis=1),
        ]
    )
    how = EdgeRunner()
    for kept in (slice(None), np.arange(len(faces)) % 11 > 0, np.arange(len(faces)) % 5 > 0):
        grid = canonical(cells, faces[kept], 512)
        decoded = how.decode(how.encode(grid))
        np.testing.assert_array_equal(face_keys(decoded.mesh), face_keys(grid))


def test_long_walks_need_no_recursion():
    """A ribbon far longer than Python's recursion limit."""
    count = 5000
    x = np.arange(count)
    cells = np.concatenate([np.stack([x, 0 * x, 0 * x], axis=1), np.stack([x, 0 * x + 1, 0 * x], axis=1)])
    i, j = x[:-1], x[1:]
    faces = np.concatenate([np.stack([i, j, i + count], axis=1), np.stack([i + count, j, j + count], axis=1)])
    grid = canonical(cells, faces, 8192)
    tokens = EdgeRunner(8192).encode(grid)
    assert len(tokens) == 4 * len(faces) + 6


def test_parts_without_all_their_coordinates_are_left_out():
    """0 L, 1 R, 2 begin, 3 to 6 coordinates.

    A letter without a begin; a begin with six coordinates, and the letter behind it; a whole begin; a letter with two
    coordinates; a letter with four, of which one is too many.
    """
    how = EdgeRunner(4)
    vertex = [3, 3, 3]
    begin = [2, 3, 3, 3, 4, 3, 3, 3, 4, 3]
    tokens = [0, *vertex, 2, *vertex, *vertex, 1, *vertex, *begin, 0, 3, 3, 1, 3, 3, 4, 3]
    decoded = how.decode(tokens)
    # R puts the next tip onto v1 and v0, the second and the first that the begin wrote.
    assert decoded.mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert decoded.mesh.faces.tolist() == [[0, 1, 2], [3, 1, 0]]
    assert decoded.report.bad_tokens == 4 + 7 + 4 + 3 + 1
    assert decoded.face_of_token.tolist() == [-1] * 15 + [0] * 10 + [-1] * 3 + [1] * 4 + [-1]


@pytest.mark.parametrize("letters", [[LEFT, LEFT, RIGHT, RIGHT, LEFT], [RIGHT, LEFT, RIGHT, LEFT, LEFT]])
def test_the_decoder_follows_the_rule_letter_by_letter(letters):
    """Against the rule as a loop: L writes (v, v0, v2) and moves v1 to v0; R writes (v, v1, v0) and moves v2 to v0."""
    cells = [(n, n * n % 7, n % 3) for n in range(3 + len(letters))]
    v0, v1, v2 = cells[:3]
    expected = [[v0, v1, v2]]
    tokens = [2, *(3 + c for cell in cells[:3] for c in cell)]
    for letter, v in zip(letters, cells[3:], strict=True):
        expected.append([v, v0, v2] if letter == LEFT else [v, v1, v0])
        v1, v2 = (v0, v2) if letter == LEFT else (v1, v0)
        v0 = v
        tokens += [letter, *(3 + c for c in v)]
    decoded = EdgeRunner(16).decode(tokens)
    assert decoded.mesh.vertices[decoded.mesh.faces].tolist() == [[list(v) for v in face] for face in expected]
