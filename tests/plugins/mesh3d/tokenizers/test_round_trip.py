"""Every tokenizer: what it encodes comes back, and it reads anything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import canonical, face_keys, quantise
from prefalign_mesh3d.mesh.mesh import GridMesh
from prefalign_mesh3d.tokenizers.amt import AMT
from prefalign_mesh3d.tokenizers.base import DecodeReport
from prefalign_mesh3d.tokenizers.bpt import BPT
from prefalign_mesh3d.tokenizers.coord9 import Coord9
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh
from prefalign_mesh3d.tokenizers.edgerunner import EdgeRunner
from prefalign_mesh3d.tokenizers.names import TOKENIZERS, tokenizer

DEFAULTS = [tokenizer(name) for name in TOKENIZERS]
SMALL = [
    Coord9(4),
    Coord9(4, order="yzx"),
    AMT(4),
    EdgeRunner(4),
    BPT(2, 2),
    BPT(2, 2, compat=True),
    DeepMesh(2, 1, 2),
    DeepMesh(1, 2, 2, compat=True),
    DeepMesh(2, 2, 4),
    DeepMesh(2, 2, 4, compat=True),
]


def check_round_trip(how, grid, winding):
    tokens = how.encode(grid)
    decoded = how.decode(np.concatenate([[how.bos_id], tokens, [how.eos_id, how.eos_id]]))
    assert tokens.dtype == np.int64
    assert decoded.report == DecodeReport()
    assert decoded.mesh.levels == how.levels
    np.testing.assert_array_equal(face_keys(decoded.mesh, winding), face_keys(grid, winding))
    # Begin, end and padding belong to no face; every other token to one, and every face has tokens.
    faces = decoded.face_of_token
    assert faces[0] == faces[-2] == faces[-1] == -1
    assert set(faces[1:-2].tolist()) == set(range(len(grid.faces)))


@pytest.mark.parametrize("how", [*DEFAULTS, *SMALL], ids=lambda how: str(how.settings()))
def test_a_mesh_comes_back(how, any_mesh):
    check_round_trip(how, quantise(any_mesh, how.levels), winding=False)


@pytest.mark.parametrize("how", DEFAULTS, ids=lambda how: how.name)
def test_winding_comes_back_where_the_format_has_one(how, oriented):
    check_round_trip(how, quantise(oriented, how.levels), winding=how.keeps_winding)


def test_coordinates_keep_the_winding_of_any_mesh(any_mesh):
    how = Coord9()
    check_round_trip(how, quantise(any_mesh, how.levels), winding=True)


@pytest.mark.parametrize("how", DEFAULTS, ids=lambda how: how.name)
def test_public_meshes_come_back(how, models):
    for mesh in models.values():
        check_round_trip(how, quantise(mesh, how.levels), winding=False)


@pytest.mark.parametrize("how", DEFAULTS, ids=lambda how: how.name)
def test_no_face_is_no_token(how):
    empty = GridMesh(np.zeros((0, 3)), np.zeros((0, 3)), how.levels)
    assert how.encode(empty).shape == (0,)
    decoded = how.decode([])
    assert decoded.mesh.faces.shape == decoded.mesh.vertices.shape == (0, 3)
    assert decoded.report == DecodeReport()


@st.composite
def soups(draw, levels):
    """Few vertices and many faces among them: edges with many faces, pinched vertices, pairs that turn either way."""
    count = draw(st.integers(3, 9))
    cell = st.tuples(*[st.integers(0, levels - 1)] * 3)
    cells = draw(st.lists(cell, min_size=count, max_size=count))
    face = st.tuples(*[st.integers(0, count - 1)] * 3)
    return canonical(np.array(cells), np.array(draw(st.lists(face, min_size=1, max_size=40))), levels)


@pytest.mark.parametrize("how", SMALL, ids=lambda how: str(how.settings()))
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_soup_comes_back(how, data):
    grid = data.draw(soups(how.levels))
    if len(grid.faces):
        check_round_trip(how, grid, winding=False)


@pytest.mark.parametrize("how", SMALL, ids=lambda how: str(how.settings()))
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_integers_are_read(how, data):
    """Whatever the integers, there is a mesh, each token is in at most one face, and the counters add up."""
    id_ = st.one_of(st.integers(0, how.vocab_size - 2), st.integers(-3, how.vocab_size + 3), st.integers())
    tokens = data.draw(st.lists(id_, max_size=60))
    decoded = how.decode(tokens)
    faces = decoded.face_of_token
    assert faces.shape == (len(tokens),)
    assert faces.min(initial=0) >= -1
    assert faces.max(initial=-1) == len(decoded.mesh.faces) - 1
    assert face_keys(decoded.mesh).shape == (len(decoded.mesh.faces), 3)
    end = tokens.index(how.eos_id) if how.eos_id in tokens else len(tokens)
    assert (faces[end:] == -1).all()
    judged = end - (end > 0 and tokens[0] == how.bos_id)
    assert decoded.report.bad_tokens <= judged - (faces >= 0).sum()
    # What is left of a sequence without its bad tokens is a mesh that any format takes, so it comes back.
    again = canonical(decoded.mesh.vertices, decoded.mesh.faces, how.levels)
    np.testing.assert_array_equal(face_keys(again, winding=False), face_keys(decoded.mesh, winding=False))


@pytest.mark.parametrize("how", DEFAULTS, ids=lambda how: how.name)
def test_cutting_a_stream_costs_only_faces_that_are_cut(how, ball):
    grid = quantise(ball, how.levels)
    tokens = how.encode(grid)
    for end in (10, 100, len(tokens) // 2):
        decoded = how.decode(tokens[:end])
        assert 0 <= decoded.report.bad_tokens < 9 + 2
        kept = {tuple(row) for row in face_keys(decoded.mesh, winding=False).tolist()}
        assert kept
        assert kept <= {tuple(row) for row in face_keys(grid, winding=False).tolist()}


@pytest.mark.parametrize("how", [*DEFAULTS, *SMALL], ids=lambda how: str(how.settings()))
def test_equal_meshes_have_equal_tokens(how, any_mesh):
    """Whatever the order of vertices, faces and corners."""
    grid = quantise(any_mesh, how.levels)
    generator = np.random.default_rng(0)
    place = generator.permutation(len(grid.vertices))
    vertices = np.empty_like(grid.vertices)
    vertices[place] = grid.vertices
    faces = np.roll(generator.permutation(place[grid.faces]), 1, axis=1)
    np.testing.assert_array_equal(how.encode(GridMesh(vertices, faces, grid.levels)), how.encode(grid))


@pytest.mark.parametrize("how", DEFAULTS, ids=lambda how: how.name)
def test_a_mesh_of_other_levels_is_refused(how, ball):
    with pytest.raises(MeshError, match=f"{how.levels} levels, got 37"):
        how.encode(quantise(ball, 37))


@pytest.mark.parametrize("tokens", [[0.5], [[1, 2]], [[1], [1, 2]], ["1"], None])
@pytest.mark.parametrize("how", DEFAULTS, ids=lambda how: how.name)
def test_what_is_no_sequence_of_integers_is_refused(how, tokens):
    with pytest.raises(MeshError, match="expected a sequence of integers"):
        how.decode(tokens)


def test_batches_are_one_after_another(ball, tetrahedron):
    how = DeepMesh(2, 2, 4)
    grids = [quantise(ball, 16), quantise(tetrahedron, 16)]
    sequences = how.encode_batch(grids)
    assert [len(tokens) for tokens in sequences] == [len(how.encode(grid)) for grid in grids]
    assert [len(decoded.mesh.faces) for decoded in how.decode_batch(sequences)] == [len(grid.faces) for grid in grids]
