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
    """No border, nothing seen. Whichever face is first, its tip is new: L. The last vertex is new as well: L. Then
    the tip is one of the first face's, seen, and what is left lies on one side, until nothing is: one sub-mesh.
    """
    letters, vertices = traverse(quantise(tetrahedron, 64))
    assert letters.tolist()[:3] == [START, LEFT, LEFT]
    assert len(letters) == 4
    assert len(set(vertices[:4].tolist())) == 4


def described_walk(grid):
    """The walk over an oriented manifold in plain words: sides by their ends, whole borders measured at a split."""
    faces = [tuple(face) for face in grid.faces.tolist()]
    face_of = {side: f for f, (a, b, c) in enumerate(faces) for side in ((b, c), (c, a), (a, b))}

    def opposite(side):
        return next(corner for corner in faces[face_of[side]] if corner not in side)

    component = {}
    for first in range(len(faces)):
        reached = [first] if first not in component else []
        while reached:
            f = reached.pop()
            component[f] = first
            a, b, c = faces[f]
            reached += [face_of[s] for s in ((b, a), (c, b), (a, c)) if s in face_of and face_of[s] not in component]

    def entrance(f):
        a, b, c = faces[f]
        gaps = []
        for s, e in ((b, c), (c, a), (a, b)):
            if (e, s) not in face_of:
                return s, e
            apart = grid.vertices[opposite((s, e))] - grid.vertices[opposite((e, s))]
            gaps.append((int((apart**2).sum()), len(gaps), (s, e)))
        return min(gaps)[2]

    unvisited = set(range(len(faces)))
    seen = {end for s, e in face_of for end in (s, e) if (e, s) not in face_of}

    def is_open(side):
        return face_of.get(side) in unvisited

    def border(side):
        """Number of sides around what is unvisited, from this one on until it comes again."""
        at, count = side, 0
        while True:
            step = at[1], opposite(at)
            while is_open((step[1], step[0])):
                step = step[0], opposite((step[1], step[0]))
            at, count = step, count + 1
            if at == side:
                return count

    letters, vertices, waiting = [], [], []
    centroid = [grid.vertices[list(face)].sum(0).tolist() for face in faces]

    def key(f):
        return component[f], centroid[f][1], centroid[f][2], centroid[f][0]

    for first in sorted(range(len(faces)), key=key):
        waiting.append(entrance(first))
        while waiting:
            s, e = waiting.pop()
            if not is_open((s, e)):
                continue
            v = opposite((s, e))
            letters.append(START)
            vertices += [v, s, e]
            seen |= {s, e}
            while True:
                unvisited.discard(face_of[s, e])
                v = opposite((s, e))
                # Across the next side, from e to v, and across the previous one, from v to s.
                left, right = (v, e), (s, v)
                new = v not in seen
                seen.add(v)
                if not (is_open(left) or is_open(right)):
                    break
                if new:
                    letter = LEFT
                elif is_open(left) and is_open(right):
                    letter = LEFT if border(left) <= border(right) else RIGHT
                    waiting.append(right if letter == LEFT else left)
                else:
                    letter = LEFT if is_open(left) else RIGHT
                s, e = left if letter == LEFT else right
                letters.append(letter)
                vertices.append(opposite((s, e)))
    return letters, vertices


def test_the_walk_is_the_one_described(oriented):
    for levels in (32, 512):
        grid = quantise(oriented, levels)
        letters, vertices = traverse(grid)
        if levels == 512 or len(grid.faces) == len(oriented.faces):
            assert (letters.tolist(), vertices.tolist()) == described_walk(grid)


def test_a_split_goes_on_along_the_shorter_border(ball):
    """Balls with holes in many places split the walk into sides of all lengths."""
    sphere = quantise(ball, 512)
    for seed in range(20):
        kept = np.random.default_rng(seed).random(len(sphere.faces)) > 0.1
        grid = canonical(sphere.vertices, sphere.faces[kept], 512)
        letters, vertices = traverse(grid)
        assert (letters.tolist(), vertices.tolist()) == described_walk(grid)


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

    def corner(p, q):
        return ((p % n) * m + q % m).ravel()

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
