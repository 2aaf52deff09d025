"""Meshes of every awkward kind, made in code."""

from pathlib import Path

import numpy as np
import pytest

from prefalign_mesh3d.mesh.mesh import Mesh

MODELS = Path(__file__).resolve().parents[4] / "../shared/data/mesh3d"


def icosphere(subdivisions):
    """An icosahedron, each triangle cut in four `subdivisions` times, its vertices moved onto the unit sphere."""
    g = (1 + 5**0.5) / 2
    vertices = [(0, a, b * g) for a in (-1, 1) for b in (-1, 1)]
    vertices += [(b, c, a) for a, b, c in vertices] + [(c, a, b) for a, b, c in vertices]
    points = np.array(vertices, float)
    # Faces of the icosahedron: three vertices at distance 2 from one another, turned outwards.
    near = np.isclose(np.linalg.norm(points[:, None] - points[None], axis=2), 2)
    faces = [
        (i, j, k) if np.linalg.det(points[[i, j, k]]) > 0 else (i, k, j)
        for i in range(12)
        for j in range(i + 1, 12)
        for k in range(j + 1, 12)
        if near[i, j] and near[j, k] and near[i, k]
    ]
    faces = np.array(faces)
    for _ in range(subdivisions):
        corners = points[faces]
        a, b, c = corners.transpose(1, 0, 2)
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        pieces = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        loose = np.concatenate([np.stack(piece, axis=1) for piece in pieces]).reshape(-1, 3)
        loose = np.round(loose, 12)
        points, index = np.unique(loose, axis=0, return_inverse=True)
        faces = index.reshape(-1, 3)
    return Mesh(points / np.linalg.norm(points, axis=1, keepdims=True), faces)


def cone(faces):
    """A fan of many faces around one vertex, closed by as many around another."""
    angle = np.linspace(0, 2 * np.pi, faces, endpoint=False)
    rim = np.stack([np.cos(angle), np.sin(angle), np.zeros(faces)], axis=1)
    i, j = np.arange(faces), np.roll(np.arange(faces), -1)
    up = np.stack([i, j, np.full(faces, faces)], axis=1)
    down = np.stack([j, i, np.full(faces, faces + 1)], axis=1)
    return Mesh(np.concatenate([rim, [(0, 0, 1), (0, 0, -1)]]), np.concatenate([up, down]))


def strip(count, twisted):
    """A band of 2 * count triangles closed to a ring, with a half turn or without."""
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    tilt = t / 2 if twisted else np.full(count, 0.3)
    width = np.stack([np.cos(tilt) * np.cos(t), np.cos(tilt) * np.sin(t), np.sin(tilt)], axis=1)
    middle = 3 * np.stack([np.cos(t), np.sin(t), 0 * t], axis=1)
    i, j = np.arange(count), np.roll(np.arange(count), -1)
    top, bottom = count + i, i
    next_top, next_bottom = count + j, j.copy()
    if twisted:
        next_top[-1], next_bottom[-1] = next_bottom[-1], next_top[-1]
    faces = np.concatenate(
        [np.stack([bottom, next_bottom, top], axis=1), np.stack([top, next_bottom, next_top], axis=1)]
    )
    return Mesh(np.concatenate([middle - width, middle + width]), faces)


def joined(*meshes):
    """Several meshes as one, beside each other."""
    counts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    vertices = np.concatenate([mesh.vertices + np.array([4 * number, 0, 0]) for number, mesh in enumerate(meshes)])
    return Mesh(vertices, np.concatenate([mesh.faces + begin for mesh, begin in zip(meshes, counts, strict=False)]))


def flipped(mesh, every):
    """The mesh with every n-th face turned round."""
    faces = mesh.faces.copy()
    faces[::every] = faces[::every, ::-1]
    return Mesh(mesh.vertices, faces)


def grid(width, height):
    """A bumpy open sheet."""
    x, y = np.meshgrid(np.arange(width + 1), np.arange(height + 1), indexing="ij")
    i, j = np.meshgrid(np.arange(width), np.arange(height), indexing="ij")
    corner = (i * (height + 1) + j).ravel()
    a, b, c, d = corner, corner + height + 1, corner + height + 2, corner + 1
    points = np.stack([x, y, np.sin(x) * np.cos(y)], axis=-1).reshape(-1, 3)
    return Mesh(points, np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]))


BALL = icosphere(2)
TETRAHEDRON = Mesh(np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]), [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)])

#: Meshes whose faces agree on which way round they turn, so that every format with winding keeps it.
ORIENTED = {
    "one face": Mesh(np.eye(3), [(0, 2, 1)]),
    "tetrahedron": TETRAHEDRON,
    "ball": BALL,
    "cone": cone(200),
    "sheet": grid(7, 5),
    "ring": strip(12, twisted=False),
    "parts": joined(BALL, TETRAHEDRON, grid(3, 3), strip(9, False)),
    "ball with holes": Mesh(BALL.vertices, BALL.faces[np.arange(len(BALL.faces)) % 7 > 0]),
}

OTHERS = {
    "Moebius strip": strip(15, twisted=True),
    "ball, some faces turned": flipped(BALL, 5),
    "parts, some faces turned": flipped(joined(BALL, grid(4, 4)), 3),
    # Three sheets at one edge.
    "book": Mesh([(0, 0, 0), (0, 0, 1), (1, 0, 0), (-1, 1, 0), (-1, -1, 0)], [(0, 1, 2), (0, 1, 3), (1, 0, 4)]),
    # Two tetrahedra that touch in a vertex.
    "pinched": Mesh(
        np.concatenate([TETRAHEDRON.vertices, -TETRAHEDRON.vertices[1:]]),
        np.concatenate([TETRAHEDRON.faces, np.where(TETRAHEDRON.faces > 0, TETRAHEDRON.faces + 3, 0)[:, ::-1]]),
    ),
    "degenerate and repeated": Mesh(
        TETRAHEDRON.vertices, [(0, 1, 1), *TETRAHEDRON.faces.tolist(), (1, 3, 0), (3, 1, 0), (2, 2, 2)]
    ),
}


@pytest.fixture(params=ORIENTED)
def oriented(request):
    return ORIENTED[request.param]


@pytest.fixture(params=[*ORIENTED, *OTHERS])
def any_mesh(request):
    return (ORIENTED | OTHERS)[request.param]


@pytest.fixture(scope="session")
def ball():
    return BALL


@pytest.fixture(scope="session")
def tetrahedron():
    return TETRAHEDRON


@pytest.fixture(scope="session")
def models():
    """The public meshes by name, read without any change; skips where the folder is absent."""
    trimesh = pytest.importorskip("trimesh")
    files = sorted(MODELS.glob("*")) if MODELS.is_dir() else []
    if not files:
        pytest.skip("the public meshes are not here")
    found = {}
    for file in files:
        loaded = trimesh.load(file, force="mesh", process=False)
        found[file.name] = Mesh(np.array(loaded.vertices), np.array(loaded.faces))
    return found
