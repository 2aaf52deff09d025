"""Fans against the description, step by step, and the compiled walk against both."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign_mesh3d.mesh.grid import canonical, quantise
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.tokenizers import fans as module
from prefalign_mesh3d.tokenizers.compiled import compiled_walk
from prefalign_mesh3d.tokenizers.compiled import walk as array_walk
from prefalign_mesh3d.tokenizers.fans import fans, walk
from prefalign_mesh3d.tokenizers.umbrellas import CLOSED, LOOSE, MOST_FACES, OPEN, umbrellas


def described(faces):
    """The decomposition as it is described, with a search wherever the words say one. Lists of centre and ring."""
    faces = [tuple(face) for face in faces.tolist()]
    unvisited = list(range(len(faces)))
    found = []
    while unvisited:
        first = faces[unvisited[0]]
        degrees = [sum(corner in faces[f] for f in unvisited) for corner in first]
        centre = first[degrees.index(max(degrees))]
        pairs = sorted((*sorted(set(faces[f]) - {centre}), f) for f in unvisited if centre in faces[f])
        ends = [v for u, w, _ in pairs for v in (u, w)]
        single = [v for v in ends if ends.count(v) == 1]
        ring = [min(single) if single else pairs[0][0]]
        used = []
        while fitting := [pair for pair in pairs if ring[-1] in pair[:2]]:
            u, w, face = fitting[0]
            pairs.remove(fitting[0])
            used.append(face)
            ring.append(w if ring[-1] == u else u)
        a, b, c = faces[used[0]]
        if (centre, ring[0], ring[1]) not in {(a, b, c), (b, c, a), (c, a, b)}:
            ring.reverse()
        unvisited = [f for f in unvisited if f not in used]
        found.append([centre, *ring])
    return found


def as_lists(vertices, starts):
    return [part.tolist() for part in np.split(vertices, starts[1:])]


def check(grid):
    expected = described(grid.faces)
    count = len(grid.vertices)
    assert as_lists(*walk(grid.faces, count)) == expected
    assert as_lists(*array_walk(grid.faces, count)) == expected
    # The counting law: a fan of k faces has k + 2 vertices.
    assert sum(len(fan) - 2 for fan in expected) == len(grid.faces)


def test_fans_are_those_described(any_mesh):
    for levels in (6, 16, 512):
        grid = quantise(any_mesh, levels)
        if len(grid.faces):
            check(grid)


@given(
    st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=3, max_size=11),
    st.lists(st.tuples(*[st.integers(0, 10)] * 3), min_size=1, max_size=60),
)
@settings(max_examples=300, deadline=None)
def test_fans_of_soups_are_those_described(cells, faces):
    grid = canonical(np.array(cells), np.array(faces) % len(cells), 4)
    if len(grid.faces):
        check(grid)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 0.05, 0.3, 0.6]), st.sampled_from([0, 0.02, 0.2]))
@settings(max_examples=80, deadline=None)
def test_fans_of_torn_balls_are_those_described(ball, seed, torn, turned):
    """A ball in a random order of vertices, with faces missing and faces turned: every kind of umbrella and of run."""
    generator = np.random.default_rng(seed)
    faces = ball.faces[generator.random(len(ball.faces)) >= torn]
    turn = generator.random(len(faces)) < turned
    faces[turn] = faces[turn, ::-1]
    # Another order of vertices: the faces keep their neighbours, the cells lie anywhere.
    check(quantise(Mesh(ball.vertices[generator.permutation(len(ball.vertices))], faces), 64))


def test_umbrellas_of_a_torn_tetrahedron():
    """By hand: faces (0 2 1), (0 1 3), (0 3 2) of a tetrahedron without its last.

    Around 0 they make a circle, in the sense of their winding 2 1, 1 3, 3 2; it begins at its smallest vertex: 1 3 2 1.
    Around 1 there is 0 2 of the first and 3 0 of the second, from border to border: 3 0 2.
    """
    parts = umbrellas(np.array([(0, 2, 1), (0, 1, 3), (0, 3, 2)]), 4)
    assert parts.kinds.tolist() == [CLOSED, OPEN, OPEN, OPEN]
    assert parts.begins.tolist() == [0, 3, 5, 7, 9]
    assert parts.rings.tolist() == [1, 3, 2, 1, 3, 0, 2, 1, 0, 3, 2, 0, 1]
    assert parts.faces.tolist() == [1, 2, 0, 1, 0, 0, 2, 2, 1]


def test_a_vertex_is_loose_where_faces_cannot_be_put_in_turn(any_mesh):
    grid = quantise(any_mesh, 512)
    parts = umbrellas(grid.faces, len(grid.vertices))
    for vertex, kind in enumerate(parts.kinds):
        block = parts.faces[parts.begins[vertex] : parts.begins[vertex + 1]]
        ring = parts.rings[parts.begins[vertex] + vertex : parts.begins[vertex + 1] + vertex + 1].tolist()
        assert sorted(block) == np.flatnonzero((grid.faces == vertex).any(1)).tolist()
        if kind == LOOSE:
            assert (np.diff(block) > 0).all()
        else:
            assert len(block) <= MOST_FACES
            assert (ring[0] == ring[-1] == min(ring)) == (kind == CLOSED)
            for face, u, w in zip(block, ring, ring[1:], strict=False):
                a, b, c = grid.faces[face].tolist()
                assert (vertex, u, w) in {(a, b, c), (b, c, a), (c, a, b)}


def test_the_compiled_walk_is_the_plain_one(any_mesh):
    pytest.importorskip("numba")
    compiled = compiled_walk()
    grid = quantise(any_mesh, 128)
    for got, expected in zip(
        compiled(grid.faces, len(grid.vertices)), walk(grid.faces, len(grid.vertices)), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_the_compiled_walk_is_the_plain_one_on_soups(seed):
    pytest.importorskip("numba")
    generator = np.random.default_rng(seed)
    count = int(generator.integers(3, 40))
    grid = canonical(
        generator.integers(0, 16, (count, 3)), generator.integers(0, count, (int(generator.integers(1, 200)), 3)), 16
    )
    if len(grid.faces):
        for got, expected in zip(
            compiled_walk()(grid.faces, len(grid.vertices)), walk(grid.faces, len(grid.vertices)), strict=True
        ):
            np.testing.assert_array_equal(got, expected)


@pytest.fixture
def many_walked(monkeypatch):
    monkeypatch.setattr(module, "_walked", module.WORTH_COMPILING)
    compiled_walk.cache_clear()
    yield
    compiled_walk.cache_clear()


def test_without_numba_many_faces_are_walked_all_the_same(many_walked, monkeypatch, ball):
    monkeypatch.setitem(sys.modules, "numba", None)
    grid = quantise(ball, 128)
    assert compiled_walk() is None
    got = fans(grid.faces, len(grid.vertices))
    assert as_lists(got.vertices, got.starts) == described(grid.faces)


def test_without_a_folder_to_write_to_it_is_compiled_without_a_cache(many_walked, monkeypatch):
    class Numba:
        @staticmethod
        def njit(nogil, cache=False):
            if cache:
                raise RuntimeError("cannot cache function: no locator available")
            return lambda function: ("compiled", function)

    monkeypatch.setitem(sys.modules, "numba", Numba)
    assert compiled_walk() == ("compiled", array_walk)


def test_numba_is_looked_for_when_it_pays(many_walked, monkeypatch, ball):
    calls = []
    monkeypatch.setattr(module, "compiled_walk", lambda: calls.append(1) or array_walk)
    grid = quantise(ball, 128)
    fans(grid.faces, len(grid.vertices))
    assert calls == [1]
    monkeypatch.setattr(module, "_walked", 0)
    fans(grid.faces, len(grid.vertices))
    assert calls == [1]
