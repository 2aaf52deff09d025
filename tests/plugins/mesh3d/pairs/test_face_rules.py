"""Good faces of shapes whose edges and quads are known."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.demo.shapes import boxes
from prefalign_mesh3d.mesh.grid import canonical, quantise
from prefalign_mesh3d.mesh.mesh import GridMesh
from prefalign_mesh3d.pairs.face_rules import ManifoldFaces, QuadFaces, QuadFans

TETRAHEDRON = [[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]
EMPTY = canonical(np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64), 8)


def grid(faces, cells=None):
    """Faces as they stand, over cells that are all distinct."""
    faces = np.array(faces).reshape(-1, 3)
    count = int(faces.max()) + 1
    numbers = np.arange(count)
    cells = np.stack([numbers % 8, numbers * numbers % 8, numbers // 8], 1) if cells is None else np.array(cells)
    return GridMesh(cells, faces, 8)


def good(rule, mesh, part=None):
    return rule(mesh, np.zeros(len(mesh.faces), np.int64) if part is None else np.array(part)).tolist()


def test_a_closed_tetrahedron_is_good_and_a_loose_triangle_bad():
    assert good(ManifoldFaces(), grid([*TETRAHEDRON[:2], [4, 5, 6], *TETRAHEDRON[2:]])) == [1, 1, 0, 1, 1]


def test_a_hole_spoils_the_faces_at_its_edges_only():
    """A box of 12 triangles without one: its three neighbours are bad, the eight others good."""
    box = quantise(boxes([((0, 0, 0), (1, 1, 1))]), 8)
    found = ManifoldFaces()(GridMesh(box.vertices, box.faces[1:], 8), np.zeros(11, np.int64))
    shared = (box.faces[1:, :, None] == box.faces[0]).any(1).sum(1)
    assert (found == (shared < 2)).all()
    assert found.sum() == 8


def test_an_edge_of_three_faces_spoils_them_all():
    """Two tetrahedra on one edge have four faces there; the others are good."""
    second = [[0, 1, 4], [0, 5, 1], [0, 4, 5], [1, 5, 4]]
    faces = np.array([*TETRAHEDRON, *second])
    at_edge = np.isin(faces, [0, 1]).sum(1) == 2
    assert at_edge.sum() == 4
    assert good(ManifoldFaces(), grid(faces)) == (~at_edge).tolist()


@settings(deadline=None)
@given(st.lists(st.permutations(range(6)).map(lambda p: p[:3]), max_size=9, unique_by=lambda f: tuple(sorted(f))))
def test_manifold_faces_against_a_plain_count(faces):
    mesh = grid([*faces, [6, 7, 8]])
    edges = [[frozenset((f[i], f[(i + 1) % 3])) for i in range(3)] for f in mesh.faces.tolist()]
    every = [edge for face in edges for edge in face]
    assert good(ManifoldFaces(), mesh) == [all(every.count(edge) == 2 for edge in face) for face in edges]


#: A square of two triangles (quality 1), a rectangle of 1 by 2 (angle 1, aspect 1/2: quality (0.2 + 0.15)/0.5 = 0.7),
#: and a triangle alone, all apart.
CELLS = [
    [0, 0, 0],
    [1, 0, 0],
    [1, 1, 0],
    [0, 1, 0],
    [3, 3, 0],
    [4, 3, 0],
    [4, 5, 0],
    [3, 5, 0],
    [7, 7, 7],
    [7, 6, 7],
    [6, 7, 7],
]
FLAT = [[0, 1, 2], [4, 5, 6], [0, 2, 3], [8, 9, 10], [4, 6, 7]]


@pytest.mark.parametrize(
    ("quality", "expected"),
    [(0.0, [1, 1, 1, 0, 1]), (0.699, [1, 1, 1, 0, 1]), (0.701, [1, 0, 1, 0, 0]), (1.0, [1, 0, 1, 0, 0])],
)
def test_faces_of_good_quads_are_good(quality, expected):
    assert good(QuadFaces(quality), grid(FLAT, CELLS)) == expected


@pytest.mark.parametrize(
    ("rule", "part", "expected"),
    [
        (QuadFans(0.0, 0.0), [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),  # the lone triangle spoils all
        (QuadFans(0.0, 0.0), [0, 0, 0, 1, 0], [1, 1, 1, 0, 1]),
        (QuadFans(0.6, 0.84), [5, 5, 5, 7, 5], [1, 1, 1, 0, 1]),  # their mean is 0.85
        (QuadFans(0.6, 0.86), [5, 5, 5, 7, 5], [0, 0, 0, 0, 0]),
        (QuadFans(0.71, 0.72), [5, 5, 5, 7, 5], [0, 0, 0, 0, 0]),  # 0.7 is below 0.71, and spoils the squares
        (QuadFans(0.71, 0.72), [0, 1, 2, 3, 4], [1, 0, 1, 0, 0]),
    ],
)
def test_a_fan_is_good_as_a_whole(rule, part, expected):
    assert good(rule, grid(FLAT, CELLS), part) == expected


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=5, max_size=5))
def test_good_fans_are_unions_of_parts_within_good_faces(part):
    mesh = grid(FLAT, CELLS)
    found = np.array(good(QuadFans(0.6, 0.6), mesh, part))
    faces = np.array(good(QuadFaces(0.6), mesh))
    for which in set(part):
        inside = np.array(part) == which
        assert (found[inside] == faces[inside].all()).all()


@pytest.mark.parametrize("rule", [ManifoldFaces(), QuadFaces(0.5), QuadFans(0.5, 0.6)])
def test_an_empty_mesh_has_no_faces(rule):
    assert good(rule, EMPTY) == []


def test_settings_name_rule_and_numbers():
    assert json.loads(json.dumps(QuadFans(0.5, 0.6).settings())) == {
        "rule": "QuadFans",
        "quality": 0.5,
        "mean_quality": 0.6,
    }
    assert ManifoldFaces().settings() == {"rule": "ManifoldFaces"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QuadFaces(1.1), r"quality in \[0, 1\], got 1.1"),
        (lambda: QuadFans(-0.1, 0.5), r"quality in \[0, 1\], got -0.1"),
        (lambda: QuadFans(0.5, float("nan")), r"mean_quality in \[0, 1\]"),
        (lambda: QuadFans(0.5, 0.4), "mean_quality of 0.4 has no effect: every part whose faces have 0.5 has it"),
    ],
)
def test_senseless_numbers_are_refused(make, message):
    with pytest.raises(PrefalignError, match=message):
        make()
