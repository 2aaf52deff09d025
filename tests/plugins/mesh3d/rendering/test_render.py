"""Pictures of meshes and clouds."""

import math

import numpy as np
import pytest
import torch

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.rendering.cameras import Camera, ring_of_cameras
from prefalign_mesh3d.rendering.render import centred, render_mesh, render_points
from prefalign_mesh3d.rendering.views import Shading

FLAT = Camera(0, 0, 4, fov=None, extent=2)
LIT = Shading(light=(0, 0, 1), ambient=0.0, front=(200, 100, 50), back=(0, 0, 250), background=(1, 2, 3))


def plate(side, depth=0.0, flipped=False):
    """A square across the x axis, its front towards +x."""
    h = side / 2
    vertices = np.array([[depth, -h, -h], [depth, h, -h], [depth, h, h], [depth, -h, h]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return Mesh(vertices, faces[:, ::-1] if flipped else faces)


def joined(*meshes):
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces))


def box(size=(1.0, 1.0, 1.0)):
    corners = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)]) - 0.5
    quads = np.array([[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]])
    return Mesh(corners * size, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]))


def ball(count=400):
    """A convex hull of points on the unit sphere."""
    from scipy.spatial import ConvexHull

    points = np.random.default_rng(0).normal(size=(count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    faces = ConvexHull(points).simplices
    a, b, c = points[faces.T]
    inwards = (np.cross(b - a, c - a) * a).sum(1) < 0
    return Mesh(points, np.where(inwards[:, None], faces[:, ::-1], faces))


def test_a_square_by_hand():
    """It spans half the picture, so it covers the middle 4 × 4 of 8 × 8 pixels, its normal towards the viewer."""
    views = render_mesh(plate(1.0, 0.5), [FLAT], 8, LIT, supersample=1)
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[2:6, 2:6] = True
    assert views.images.shape == (1, 8, 8, 3)
    assert views.images.dtype == torch.uint8
    assert (views.images[0][inside] == torch.tensor([200, 100, 50])).all()
    assert (views.images[0][~inside] == torch.tensor([1, 2, 3])).all()
    assert views.depth[0][inside] == pytest.approx(3.5, abs=1e-6)
    assert views.depth[0][~inside].isinf().all()
    assert (views.normals[0][inside] == torch.tensor([1.0, 0, 0])).all()
    assert (views.normals[0][~inside] == 0).all()
    assert (views.coverage[0] == inside.float()).all()


def test_the_area_of_a_square_under_perspective():
    """Side 1 at depth 4, a picture of 2 · 4 · tan 20° there."""
    views = render_mesh(plate(1.0), [Camera(0, 0, 4, fov=40)], 100, supersample=16)
    share = (1 / (8 * math.tan(math.radians(20)))) ** 2
    assert float(views.coverage.mean()) == pytest.approx(share, rel=5e-3)


def test_edges_are_smooth_where_a_pixel_has_several_samples():
    """A square whose edges cut the border pixels in half: 3 pixels whole, half on either side."""
    views = render_mesh(plate(1.0), [FLAT], 8, LIT, supersample=4)
    shifted = Mesh(plate(1.0).vertices + np.array([0, 0.125, 0]), plate(1.0).faces)
    moved = render_mesh(shifted, [FLAT], 8, LIT, supersample=4)
    assert views.coverage[0, 4].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    assert moved.coverage[0, 4].tolist() == [0, 0, 0.5, 1, 1, 1, 0.5, 0]
    assert moved.images[0, 4, 2].tolist() == [100, 51, 26]
    assert moved.depth[0, 4, 2] == pytest.approx(4)  # of the half that is there


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("camera", [FLAT, Camera(0, 0, 4, fov=30)])
def test_the_nearer_face_hides_the_other(order, camera):
    meshes = [plate(1.8, -0.5), plate(0.4, 0.5, flipped=True)][::order]
    views = render_mesh(joined(*meshes), [camera], 32, LIT, supersample=1)
    assert views.images[0, 16, 16].tolist() == [0, 0, 250]
    assert views.depth[0, 16, 16] == pytest.approx(3.5, abs=1e-5)
    assert views.images[0, 16, 4].tolist() == [200, 100, 50]
    assert views.depth[0, 16, 4] == pytest.approx(4.5, abs=1e-5)


def test_faces_that_cross_are_parted_where_they_do():
    """Two planes through the z axis, at 45 degrees to the picture: a V seen from its opening."""
    tilted = np.array([[0.5, -0.5, -0.5], [-0.5, 0.5, -0.5], [-0.5, 0.5, 0.5], [0.5, -0.5, 0.5]])
    other = tilted * [1, -1, 1]
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    views = render_mesh(joined(Mesh(tilted, faces), Mesh(other, faces)), [FLAT], 64, LIT, supersample=1)
    depth = views.depth[0, 32]
    assert depth[17] == pytest.approx(4 - 14.5 / 32, abs=1e-3)
    assert depth[46] == pytest.approx(4 - 14.5 / 32, abs=1e-3)
    assert depth[32] == pytest.approx(4 - 0.5 / 32, abs=1e-3)


def test_a_flipped_face_shows_its_back_and_the_normal_faces_the_viewer():
    views = render_mesh(plate(2.0, flipped=True), [FLAT], 4, LIT, supersample=1)
    assert (views.images[0] == torch.tensor([0, 0, 250])).all()
    assert (views.normals[0] == torch.tensor([1.0, 0, 0])).all()


def test_lambert():
    """A plate turned by 60 degrees from the light is half as bright, on top of what is ambient."""
    camera = Camera(60, 0, 4, fov=None)
    lit = Shading(light=(0, 0, 3), ambient=0.2, front=(200, 100, 50))
    image = render_mesh(plate(1.0), [camera], 9, lit, supersample=1).images[0, 4, 4]
    assert image.tolist() == [120, 60, 30]  # 0.2 + 0.8 / 2


@pytest.mark.parametrize("fov", [None, 40.0])
def test_no_crack_in_a_closed_convex_shape(fov):
    """Each row of the silhouette is one run, and no back shows through."""
    views = render_mesh(ball(), ring_of_cameras((0, 77), elevation=13, fov=fov), 96, supersample=1)
    for covered in (views.coverage > 0).int():
        assert covered.sum() > 4000
        assert (covered.diff(dim=1).abs().sum(1) <= 2).all()
        assert (covered.diff(dim=0).abs().sum(0) <= 2).all()
    reds = views.images[views.coverage > 0][:, 0].int() - views.images[views.coverage > 0][:, 2].int()
    assert (reds <= 0).all()


def test_a_unit_ball_fits_the_ring_and_touches_the_border():
    views = render_mesh(ball(3000), ring_of_cameras((0, 90)), 64, supersample=4)
    seen = views.coverage > 0
    assert seen[:, 0].any() or seen[:, 1].any()
    assert seen[:, 32, :2].any()
    # What is beside the disc is empty.
    y, x = torch.meshgrid(*[torch.arange(64) - 31.5] * 2, indexing="ij")
    assert not seen[:, (x * x + y * y).sqrt() > 33].any()


def test_turning_the_camera_is_turning_the_shape():
    mesh = box((1.0, 0.6, 0.8))
    turned = Mesh(mesh.vertices[:, [1, 0, 2]] * [-1, 1, 1], mesh.faces)  # by 90 degrees: x goes to y
    first = render_mesh(mesh, ring_of_cameras((20,)), 48)
    second = render_mesh(turned, ring_of_cameras((110,)), 48)
    assert (first.images.int() - second.images.int()).abs().max() <= 1
    assert torch.allclose(first.depth, second.depth, atol=1e-5)
    assert not torch.equal(first.images, render_mesh(turned, ring_of_cameras((20,)), 48).images)


def test_up_is_up():
    """A plate high above the origin is in the upper half, whichever axis is called up."""
    high = Mesh(plate(0.4).vertices + np.array([0, 0, 0.5]), plate(0.4).faces)
    for mesh, up in ((high, "z"), (Mesh(high.vertices[:, [1, 2, 0]], high.faces), "y")):
        seen = render_mesh(mesh, ring_of_cameras((0,), elevation=0, up=up), 16, supersample=1).coverage[0]
        assert seen[:8].any()
        assert not seen[8:].any()


def test_every_face_of_a_soup_is_where_a_ray_says_it_is():
    """Depth and normals beside open3d's ray casting, which shares no code with ours."""
    o3d = pytest.importorskip("open3d", exc_type=ImportError)
    rng = np.random.default_rng(3)
    corners = rng.uniform(-0.5, 0.5, (60, 1, 3)) + rng.uniform(-0.25, 0.25, (60, 3, 3))
    mesh = Mesh(corners.reshape(-1, 3), np.arange(180).reshape(-1, 3))
    camera, size = Camera(35, 25, 3, fov=40), 80
    views = render_mesh(mesh, [camera], size, supersample=1)
    reach = math.tan(math.radians(20))
    middle = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(middle * reach, -middle * reach)
    right, up, back = camera.axes
    ways = x[..., None] * right + y[..., None] * up - back
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    rays = np.concatenate([np.broadcast_to(camera.position, ways.shape), ways], -1).astype(np.float32)
    hits = scene.cast_rays(o3d.core.Tensor(rays))
    depth, normals = hits["t_hit"].numpy(), hits["primitive_normals"].numpy()
    ours = views.depth[0].numpy()
    # Corners are rounded to 1/256 pixel, so rays along an edge may fall on either side of it.
    assert (np.isfinite(depth) != np.isfinite(ours)).mean() < 2e-3
    both = np.isfinite(depth) & np.isfinite(ours)
    assert both.mean() > 0.15
    same = np.abs(depth[both] - ours[both]) < 2e-3
    assert same.mean() > 0.995
    cosines = np.abs((normals * views.normals[0].numpy()).sum(-1))[both][same]
    assert np.quantile(cosines, 0.02) > 0.9999
    assert (((views.normals[0].numpy() * ways).sum(-1))[both] < 0).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_draws_the_same_picture():
    cameras = ring_of_cameras((0, 90, 180, 270))
    here, there = (render_mesh(ball(), cameras, 96, device=device) for device in ("cpu", "cuda"))
    assert (here.images.int() - there.images.int()).abs().max() <= 1
    assert torch.equal(here.coverage, there.coverage)
    assert torch.allclose(here.depth, there.depth, atol=1e-5)
    assert torch.allclose(here.normals, there.normals, atol=1e-5)


def test_a_mesh_without_faces_is_an_empty_picture():
    views = render_mesh(Mesh(np.zeros((2, 3)), np.zeros((0, 3))), [FLAT, FLAT], 4, LIT)
    assert views.images.shape == (2, 4, 4, 3)
    assert (views.images == torch.tensor([1, 2, 3])).all()
    assert views.depth.isinf().all()


def test_faces_without_area_and_unused_vertices_change_nothing():
    mesh = plate(1.0)
    more = Mesh(
        np.concatenate([mesh.vertices, [[99.0, 0, 0], [0.9, 0, 0]]]),
        np.concatenate([mesh.faces, [[0, 0, 1], [5, 5, 5]]]),
    )
    assert torch.equal(render_mesh(more, [FLAT], 16).images, render_mesh(mesh, [FLAT], 16).images)


def test_refuses_what_cannot_be_drawn():
    with pytest.raises(MeshError, match="behind the camera"):
        render_mesh(plate(1.0, 5.0), [FLAT], 8)
    with pytest.raises(PrefalignError, match="at least one camera"):
        render_mesh(plate(1.0), [], 8)
    with pytest.raises(PrefalignError, match="size and supersample of at least 1"):
        render_mesh(plate(1.0), [FLAT], 8, supersample=0)
    with pytest.raises(PrefalignError, match="at most 16384 samples"):
        render_mesh(plate(1.0), [FLAT], 20_000)
    with pytest.raises(PrefalignError, match="radius between 0 and 8"):
        render_points(np.zeros((1, 3)), None, [FLAT], 8, radius=0)


@pytest.mark.parametrize(
    "bad",
    [{"light": (0, 0, 0)}, {"light": (0, math.nan, 0)}, {"ambient": 1.5}, {"front": (0, 0, 256)}, {"back": (1, 2)}],
)
def test_refuses_shading_that_is_none(bad):
    with pytest.raises(PrefalignError, match="expected"):
        Shading(**bad)


def test_centred_fills_the_unit_ball():
    """A box of sides 2, 4, 4 around (1, 2, 2): half its diagonal is 3."""
    corners = np.array([[x, y, z] for x in (0.0, 2.0) for y in (0.0, 4.0) for z in (0.0, 4.0)])
    placed = centred(corners)
    assert np.linalg.norm(placed, axis=1) == pytest.approx(1)
    assert placed[0] == pytest.approx(np.array([-1, -2, -2]) / 3)
    assert centred(np.array([[1.0, 2, 2], [4, 2, 2]]), like=corners) == pytest.approx(
        np.array([[0.0, 0, 0], [1, 0, 0]])
    )
    assert centred(corners * 1e300) == pytest.approx(placed)
    assert centred(corners * 1e-300) == pytest.approx(placed)
    assert centred(np.ones((3, 3))) == pytest.approx(0)
    with pytest.raises(MeshError, match="no points"):
        centred(np.zeros((0, 3)))
    with pytest.raises(MeshError, match="too much to be scaled"):
        centred(np.array([[1.7e308, 1.7e308, 0], [-1.7e308, -1.7e308, 0]]))


def test_points_are_discs_the_nearer_one_in_front():
    points = np.array([[0.0, 0, 0], [0.5, 0, 0], [0, 0.5, 0.5]])
    normals = np.array([[1.0, 0, 0], [-1, 0, 0], [1, 0, 0]])
    views = render_points(points, normals, [FLAT], 32, LIT, supersample=1, radius=2)
    assert int((views.coverage > 0).sum()) == 2 * 13  # two discs of the 13 pixels within 2
    assert views.depth[0, 16, 16] == pytest.approx(3.5, abs=1e-5)
    assert views.images[0, 16, 16].tolist() == [0, 0, 0]  # turned away from the light
    assert views.images[0, 8, 24].tolist() == [200, 100, 50]
    assert render_points(points, None, [FLAT], 32, LIT, radius=2).images[0, 16, 16].tolist() == [200, 100, 50]
    assert not render_points(np.zeros((0, 3)), None, [FLAT], 8).coverage.any()
