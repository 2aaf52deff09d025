"""DeepMesh's and BPT's streams: by hand, by law, and against the literal description."""

import numpy as np
import pytest

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import canonical, face_keys, quantise
from prefalign_mesh3d.tokenizers.bpt import BPT
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh
from prefalign_mesh3d.tokenizers.fans import fans

TETRAHEDRON = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]


def test_vocabulary():
    """mesh3d layouts: 2 * 4^3 + 8^3 + 16^3 = 4736 ids of geometry; 2 * 8^3 + 16^3 = 5120; 2 * 2^3 + 2^3 + 4^3 = 88."""
    assert (DeepMesh().levels, DeepMesh().geometry_size, DeepMesh().bos_id, DeepMesh().eos_id) == (
        512,
        4736,
        4736,
        4737,
    )
    assert (BPT().levels, BPT().geometry_size, BPT().vocab_size) == (128, 5120, 5122)
    assert (DeepMesh(2, 2, 4).levels, DeepMesh(2, 2, 4).vocab_size) == (16, 90)
    assert BPT(16, 32).geometry_size == 40_960


def test_a_small_tetrahedron_by_hand():
    """Corners A (0 0 0), B (1 0 0), C (0 1 0), D (0 0 1), all in region 0 and block 64.

    Order by z, y, x: A B C D are 0 1 2 3. Faces in order of their sorted corners: (0 2 1), (0 1 3), (0 3 2), (1 2 3).
    First face (0 2 1): every corner has three faces, the first corner wins: centre A. Its pairs are 1 2, 1 3, 2 3; no
    vertex is single, so the ring begins at 1, goes to 2 (first pair), 3, and back to 1. Triangle (0 1 2) is not how
    (0 2 1) is wound: reversed, B D C B. Left is (1 2 3), where all corners have one face: centre B, ends 2 and 3, ring
    C D, wound as stored.

    Offsets, 576 + 256 x + 16 y + z: A 576, B 832, C 592, D 577. The first centre has its plain region. Its ring shares
    region and block. The second centre has region 4672. In the published stream the vertex behind it is whole.
    """
    cells = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
    grid = canonical(cells, np.array(TETRAHEDRON), 512)
    first_fan = [0, 64, 576, 832, 577, 592, 832]
    assert DeepMesh(compat=True).encode(grid).tolist() == [*first_fan, 4672, 64, 832, 0, 64, 592, 577]
    assert DeepMesh().encode(grid).tolist() == [*first_fan, 4672, 64, 832, 592, 577]


def test_a_large_tetrahedron_by_hand():
    """The same with B (511 0 0), C (0 511 0), D (0 0 511): every corner in a region of its own.

    Regions 16 * 3 = 48, 4 * 3 = 12 and 3; blocks 64 + 64 * 7 = 512, 64 + 8 * 7 = 120, 71; offsets 576 + 15 * 256 =
    4416, 816, 591. Nothing can be left out, so both streams are one, of 3 tokens a vertex.
    """
    cells = np.array([(0, 0, 0), (511, 0, 0), (0, 511, 0), (0, 0, 511)])
    grid = canonical(cells, np.array(TETRAHEDRON), 512)
    b, c, d = [48, 512, 4416], [12, 120, 816], [3, 71, 591]
    expected = [0, 64, 576, *b, *d, *c, *b, 4672 + 48, *b[1:], *c, *d]
    assert DeepMesh(compat=True).encode(grid).tolist() == DeepMesh().encode(grid).tolist() == expected


def test_a_cube_by_hand():
    """Corner x + 2y + 4z of a cube of cells 0 and 1, outward faces; all in region 0 and block 64.

    In order of sorted corners, as stored: 031 015 023 062 054 046 | 137 175 273 267 457 476.
    First face 031: corner 0 has six faces, 3 and 1 have four. Centre 0; pairs 13 15 23 26 45 46; the ring from 1 goes
    to 3 (first pair with 1), 2, 6, 4, 5, 1. Triangle (0 1 3) is not how 031 is wound: reversed, 1 5 4 6 2 3 1. All six
    ring corners have two faces left, and 7 has six. Next face 137: centre 7, the same pairs, the same ring 1 3 2 6 4 5
    1, and (7 1 3) is how 137 is wound.

    Offsets 576 + 256 x + 16 y + z of corners 0 to 7: 576 832 592 848 577 833 593 849.
    """
    cells = np.array([(i & 1, i >> 1 & 1, i >> 2) for i in range(8)])
    stored = "031 015 023 062 054 046 137 175 273 267 457 476"
    grid = canonical(cells, np.array([[int(corner) for corner in face] for face in stored.split()]), 512)
    assert grid.faces.tolist() == [[int(corner) for corner in face] for face in stored.split()]
    first_fan = [0, 64, 576, 832, 833, 577, 593, 592, 848, 832]
    ring = [832, 848, 592, 593, 577, 833, 832]
    assert DeepMesh(compat=True).encode(grid).tolist() == [*first_fan, 4672, 64, 849, 0, 64, *ring]
    assert DeepMesh().encode(grid).tolist() == [*first_fan, 4672, 64, 849, *ring]


def icosahedron():
    """Cells (7.5, 7.5 ± 4.5, 7.5 ± 7.5) and their turns; 7.5 / 4.5 is near the golden ratio. Outward faces."""
    points = [(7, a, b) for a in (3, 12) for b in (0, 15)]
    points += [(b, c, a) for a, b, c in points] + [(c, a, b) for a, b, c in points]
    points = np.array(points)
    true = np.where(points == 7, 7.5, points) - 7.5
    distance = np.linalg.norm(true[:, None] - true[None], axis=2)
    near = (distance > 0) & (distance < 9.5)
    faces = [
        (i, j, k) if np.linalg.det(true[[i, j, k]]) > 0 else (i, k, j)
        for i in range(12)
        for j in range(i + 1, 12)
        for k in range(j + 1, 12)
        if near[i, j] and near[j, k] and near[i, k]
    ]
    return canonical(points, np.array(faces), 16)


def literal_stream(grid, how, splits):
    """Step F and G of the published stream, a vertex at a time, over fans (which have tests of their own)."""
    parts = fans(grid.faces, len(grid.vertices))
    sizes = [split**3 for split in splits]
    special = sum(sizes)
    tokens, current = [], None
    for number, fan in enumerate(np.split(parts.vertices, parts.starts[1:])):
        for place, vertex in enumerate(fan):
            x, y, z = grid.vertices[vertex].tolist()
            side, first, index = how.levels, 0, []
            for split, size in zip(splits, sizes, strict=True):
                side //= split
                index.append(first + (x // side % split) * split**2 + (y // side % split) * split + z // side % split)
                first += size
            if place == 0:
                index[0] += special if number else 0
                tokens += index
            else:
                same = 0
                while same < len(splits) - 1 and index[same] == current[same]:
                    same += 1
                tokens += index[same:]
            current = index
    return tokens


def test_an_icosahedron_by_hand_and_by_the_letter():
    """Order by z, y, x gives 0 (7 3 0), 1 (7 12 0), 2 (0 7 3), 3 (15 7 3), 4 (3 0 7), 5 (12 0 7), 6 (3 15 7), …

    First face: 0 1 2 or 0 2 1. From outside (below, z up) 0 lies in front and 1 behind, 2 to the left: seen from below,
    left and right are swapped, so 0 1 2 turns clockwise from above: det((7 3 0), (7 12 0), (0 7 3) about the centre) is
    negative for 0 1 2, positive for 0 2 1. All corners have five faces: centre 0. Around it lie 1 2 3 4 5 with pairs
    12 13 24 35 45; the ring from 1 goes to 2, 4, 5, 3, 1, and 0 1 2 is not how the face is wound: 1 3 5 4 2 1.

    Layout 2, 2, 4 has region 4 (x div 8) + 2 (y div 8) + z div 8, block 8 + the same of cells mod 8 div 4, offset 16 +
    16 (x mod 4) + 4 (y mod 4) + z mod 4:
    0 (7 3 0): 0, 8 + 4, 16 + 48 + 12 = 76. 1 (7 12 0): 2, 8 + 4 + 2 = 14, 16 + 48 = 64. 3 (15 7 3): 4, 8 + 4 + 2 = 14,
    16 + 48 + 12 + 3 = 79. 5 (12 0 7): 4, 8 + 4 + 1 = 13, 16 + 3 = 19. 4 (3 0 7): 0, 8 + 1 = 9, 16 + 48 + 3 = 67.
    2 (0 7 3): 0, 8 + 2 = 10, 16 + 12 + 3 = 31.
    """
    grid = icosahedron()
    assert grid.faces.shape == (20, 3)
    first_fan = [0, 12, 76, 2, 14, 64, 4, 14, 79, 13, 19, 0, 9, 67, 10, 31, 2, 14, 64]
    how = DeepMesh(2, 2, 4, compat=True)
    tokens = how.encode(grid).tolist()
    assert tokens[: len(first_fan)] == first_fan
    assert tokens[len(first_fan)] >= 80  # the next fan's centre
    assert tokens == literal_stream(grid, how, (2, 2, 4))


def test_the_compat_stream_to_the_letter(any_mesh):
    for how, splits in ((DeepMesh(compat=True), (4, 8, 16)), (BPT(compat=True), (8, 16)), (BPT(2, 8, True), (2, 8))):
        grid = quantise(any_mesh, how.levels)
        assert how.encode(grid).tolist() == literal_stream(grid, how, splits)


@pytest.mark.parametrize(("kind", "splits"), [(DeepMesh, (4, 8, 16)), (DeepMesh, (2, 2, 4)), (BPT, (8, 16))])
def test_the_compact_stream_is_never_longer_and_has_the_same_fans(kind, splits, any_mesh):
    compact, compat = kind(*splits), kind(*splits, compat=True)
    grid = quantise(any_mesh, compact.levels)
    short, long = compact.encode(grid), compat.encode(grid)
    assert len(short) <= len(long)
    # One decoder reads both; only where a full circle begins may differ, so the faces are the same, wound the same.
    np.testing.assert_array_equal(face_keys(compat.decode(short).mesh), face_keys(compact.decode(long).mesh))
    for stream in (short, long):
        finest = (stream >= sum(split**3 for split in splits[:-1])) & (stream < sum(split**3 for split in splits))
        # Counting law: each vertex of each fan has one offset, k + 2 for a fan of k faces.
        parts = fans(grid.faces, len(grid.vertices))
        assert finest.sum() == len(parts.vertices) == len(grid.faces) + 2 * len(parts.starts)
        centres = stream >= sum(split**3 for split in splits)
        assert centres.sum() == len(parts.starts) - 1


def test_a_full_circle_begins_near_its_centre():
    """A pyramid without a base, layout 2, 2, 4: apex in region 0, of its ring only the last vertex too.

    Vertices by z, y, x: a (8 0 0) 0, b (0 8 0) 1, c (8 8 0) 2, apex (4 4 4) 3, d (0 0 5) 4; the ring is a c b d. Only d
    shares region 0 with the apex, in a block of its own, so the compact ring begins there and spares one token of
    three; the published one begins at the smallest vertex, a.
    """
    cells = np.array([(8, 0, 0), (0, 8, 0), (8, 8, 0), (4, 4, 4), (0, 0, 5)])
    grid = canonical(cells, np.array([(3, 0, 2), (3, 2, 1), (3, 1, 4), (3, 4, 0)]), 16)
    assert grid.vertices.tolist() == cells.tolist()
    how = DeepMesh(2, 2, 4)
    apex, a, b, c = [0, 15, 16], [4, 8, 16], [2, 8, 16], [6, 8, 16]
    d = [9, 17]
    assert how.encode(grid).tolist() == [*apex, *d, *a, *c, *b, 0, *d]
    assert DeepMesh(2, 2, 4, compat=True).encode(grid).tolist() == [*apex, *a, *c, *b, 0, *d, *a]


def test_of_vertices_as_near_the_smallest_begins():
    """The same with apex (12 12 4), b (8 8 0) and c (15 9 0) in region 6: b is smaller, c comes first from a on."""
    cells = np.array([(8, 0, 0), (8, 8, 0), (15, 9, 0), (12, 12, 4), (0, 0, 5)])
    grid = canonical(cells, np.array([(3, 0, 2), (3, 2, 1), (3, 1, 4), (3, 4, 0)]), 16)
    apex, a, b, c, d = [6, 15, 16], [4, 8, 16], [8, 16], [6, 12, 68], [0, 9, 17]
    assert DeepMesh(2, 2, 4).encode(grid).tolist() == [*apex, *b, *d, *a, *c, *b]


def test_an_equal_block_of_another_region_is_not_near():
    """Apex (4 4 4) 2 and X (12 4 4) 3 have block 15, of regions 0 and 4; d (0 0 5) 4 lies in region 0 and is nearer."""
    cells = np.array([(8, 0, 0), (0, 8, 0), (4, 4, 4), (12, 4, 4), (0, 0, 5)])
    grid = canonical(cells, np.array([(2, 0, 3), (2, 3, 1), (2, 1, 4), (2, 4, 0)]), 16)
    apex, a, x, b = [0, 15, 16], [4, 8, 16], [15, 16], [2, 8, 16]
    assert DeepMesh(2, 2, 4).encode(grid).tolist() == [*apex, 9, 17, *a, *x, *b, 0, 9, 17]


def test_compact_is_shorter_on_public_meshes(models):
    """Over the public meshes the mean saving is at least 8 %."""
    compact, compat = DeepMesh(), DeepMesh(compat=True)
    savings = []
    for mesh in models.values():
        grid = quantise(mesh, 512)
        savings.append(1 - len(compact.encode(grid)) / len(compat.encode(grid)))
    assert np.mean(savings) >= 0.08


def read(how, tokens):
    decoded = how.decode(tokens)
    return decoded.mesh.vertices.tolist(), decoded.mesh.faces.tolist(), decoded.report, decoded.face_of_token.tolist()


def test_tokens_out_of_place_are_counted_and_skipped():
    """Layout 2, 2, 4: regions 0-7, blocks 8-15, offsets 16-79, centres 80-87.

    16 and 8 have no region yet; region 1 is replaced by region 0 before it is used; offset 16 behind region 2 has no
    block of its own. The rest are vertices (0 0 0), (1 0 0), (0 1 0), (0 0 1): faces 0 1 2 and 0 2 3. The fan behind
    them has two vertices, so no face.
    """
    how = DeepMesh(2, 2, 4)
    good = [0, 8, 16, 32, 20, 17]
    tokens = [16, 8, 1, *good, 2, 16, 80, 8, 16, 32, 99, -1]
    vertices, faces, report, of_token = read(how, tokens)
    assert vertices == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert faces == [[0, 1, 2], [0, 2, 3]]
    assert (report.bad_tokens, report.degenerate, report.duplicate) == (3 + 2 + 4 + 2, 0, 0)
    assert of_token == [-1, -1, -1, 0, 0, 0, 0, 0, 1, -1, -1, -1, -1, -1, -1, -1, -1]


def test_degenerate_and_repeated_faces_are_dropped_and_counted():
    """Ring B B C B C around A: A B B is degenerate, A C B and A B C repeat the first face A B C."""
    how = DeepMesh(2, 2, 4)
    a, b, c = 16, 32, 20
    vertices, faces, report, of_token = read(how, [0, 8, a, b, b, c, b, c])
    assert vertices == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert faces == [[0, 1, 2]]
    assert (report.bad_tokens, report.degenerate, report.duplicate) == (0, 1, 2)
    # The first B is in the degenerate face alone, the last two tokens in repeated ones.
    assert of_token == [0, 0, 0, -1, 0, 0, -1, -1]


@pytest.mark.parametrize("splits", [(0, 8, 16), (4, -1, 16), (4, 8, 2.0), (True, 8, 16), (1, 1, 1), (4096, 4096, 16)])
def test_impossible_layouts_are_refused(splits):
    with pytest.raises(MeshError, match="deepmesh: expected"):
        DeepMesh(*splits)


def test_compat_must_be_true_or_false():
    with pytest.raises(MeshError, match="compat"):
        DeepMesh(compat="no")
