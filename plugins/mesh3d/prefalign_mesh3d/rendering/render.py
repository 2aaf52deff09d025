"""Meshes and point clouds as pictures: a rasteriser in tensor operations that needs no display and no GPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh, bounds
from prefalign_mesh3d.mesh.normals import face_normals
from prefalign_mesh3d.rendering.cameras import Camera
from prefalign_mesh3d.rendering.coverage import SUBPIXELS, covered, twice_areas
from prefalign_mesh3d.rendering.nearest import NearestBuffer, Seen
from prefalign_mesh3d.rendering.projection import Projected, projected
from prefalign_mesh3d.rendering.views import Shading, Views, resolved

#: Most samples along a side of a picture.
_LARGEST = 16384


def centred(points: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """(n, 3) points moved and scaled so that they fill the unit ball around the origin, at which cameras look.

    Args:
        points: in any unit.
        like: (m, 3) other points, whose place and size decide instead; of shapes that are to be compared.

    Raises:
        MeshError: for no points to go by, or points that span more than can be scaled.
    """
    fixed = points if like is None else like
    if not len(fixed):
        raise MeshError("no points, so there is neither place nor size")
    low, high = bounds(fixed)
    # Halved before they are added, so that huge coordinates stay finite.
    centre = low / 2 + high / 2
    with np.errstate(over="ignore"):
        half = float((high / 2 - low / 2).max())
        radius = half * float(np.sqrt((((fixed - centre) / (half or 1.0)) ** 2).sum(1).max()))
    if not np.isfinite(radius):
        raise MeshError(f"the points span {low.tolist()} to {high.tolist()}, too much to be scaled")
    return (points - centre) / (radius or 1.0)


def render_mesh(
    mesh: Mesh,
    cameras: Sequence[Camera],
    size: int = 224,
    shading: Shading | None = None,
    supersample: int = 2,
    device: torch.device | str = "cpu",
) -> Views:
    """The views of K cameras on a mesh, on the CPU; each face has one normal, and the nearest face hides the others.

    Args:
        mesh: in the cameras' unit, in front of them all; one without faces gives empty pictures.
        cameras: K of them.
        size: pixels along a side of the pictures.
        shading: colours and light.
        supersample: samples along a side of a pixel, whose mean makes edges smooth; at 1 they lie in its middle.
        device: where it is computed.

    Raises:
        MeshError: for faces that reach behind a camera.
        PrefalignError: for no camera, or a size that is no size.
    """
    samples = _checked(cameras, size, supersample)
    shading = shading or Shading()
    # Vertices that no face uses may lie anywhere, behind the camera too.
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.faces] = True
    points = torch.from_numpy(mesh.vertices[used]).to(device)
    corners = torch.from_numpy((used.cumsum() - 1)[mesh.faces]).to(device)
    normals = torch.from_numpy(face_normals(mesh)[0]).to(device)
    views = []
    for camera in cameras:
        buffer = NearestBuffer(samples * samples, points.device)
        place = projected(points, camera, samples) if len(points) else None
        front = torch.zeros(len(corners), dtype=torch.bool, device=points.device)
        if place is not None:
            front = _draw(place, corners, samples, buffer)
        views.append(_view(buffer.seen(), place, normals, front, camera, shading, supersample))
    return Views.stacked(views)


def render_points(
    points: np.ndarray,
    normals: np.ndarray | None,
    cameras: Sequence[Camera],
    size: int = 224,
    shading: Shading | None = None,
    supersample: int = 2,
    radius: float = 1.5,
) -> Views:
    """The same for a point cloud, each point a disc.

    Args:
        points: (P, 3) in the cameras' unit.
        normals: (P, 3) unit normals; None for points that all face the viewer. They are shaded as front faces.
        radius: of the discs, in pixels.

    Raises:
        MeshError: for points behind a camera.
        PrefalignError: for no camera, a size that is no size, or a radius that is not above 0.
    """
    samples = _checked(cameras, size, supersample)
    if not 0 < radius < size:
        raise PrefalignError(f"expected a radius between 0 and {size} pixels, got {radius}")
    shading = shading or Shading()
    where = torch.from_numpy(np.asarray(points, np.float64))
    reach = int(radius * supersample) + 1
    y, x = torch.meshgrid(*[torch.arange(-reach, reach + 1)] * 2, indexing="ij")
    disc = torch.stack([x, y], -1)[x * x + y * y <= (radius * supersample) ** 2]
    views = []
    for camera in cameras:
        buffer = NearestBuffer(samples * samples, where.device)
        place = projected(where, camera, samples) if len(where) else None
        if place is not None:
            spots = place.screen[:, None] // SUBPIXELS + disc
            inside = ((spots >= 0) & (spots < samples)).all(-1)
            index, _ = inside.nonzero(as_tuple=True)
            spot = spots[inside]
            buffer.add(spot[:, 1] * samples + spot[:, 0], place.nearness[index], index)
        back = torch.from_numpy(camera.axes[2])
        facing = back.expand(len(where), 3) if normals is None else torch.from_numpy(np.asarray(normals, np.float64))
        front = torch.ones(len(where), dtype=torch.bool)
        views.append(_view(buffer.seen(), place, facing, front, camera, shading, supersample))
    return Views.stacked(views)


def _checked(cameras: Sequence[Camera], size: int, supersample: int) -> int:
    """Samples along a side."""
    if not len(cameras):
        raise PrefalignError("expected at least one camera")
    if size < 1 or supersample < 1 or size * supersample > _LARGEST:
        raise PrefalignError(
            f"expected size and supersample of at least 1 and at most {_LARGEST} samples along a side, got {size} x "
            f"{supersample}"
        )
    return size * supersample


def _draw(place: Projected, faces: Tensor, samples: int, buffer: NearestBuffer) -> Tensor:
    """Put faces in the buffer; (F,) bool, which of them show their front."""
    screen, nearness = place.screen[faces], place.nearness[faces]
    areas = twice_areas(screen)
    # y points down in the picture, so what turns counter-clockwise has a negative area.
    front = areas < 0
    screen = torch.where(front[:, None, None], screen.flip(1), screen)
    nearness = torch.where(front[:, None], nearness.flip(1), nearness)
    index = areas.nonzero().squeeze(1)
    screen, nearness = screen[index], nearness[index]
    across, down, at_zero = _planes(screen, nearness, areas[index].abs())
    for face, x, y in covered(screen, samples):
        near = across[face] * x + down[face] * y + at_zero[face]
        buffer.add(y * samples + x, near, index[face])
    return front


def _planes(screen: Tensor, nearness: Tensor, areas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(F,) slopes of nearness per sample to the right and downwards, and its value in the first sample's middle."""
    (ax, ay), (bx, by), (cx, cy) = screen.double().permute(1, 2, 0)
    a, b, c = nearness.T
    across = ((b - a) * (cy - ay) - (c - a) * (by - ay)) / areas
    down = ((c - a) * (bx - ax) - (b - a) * (cx - ax)) / areas
    middle = SUBPIXELS / 2
    return across * SUBPIXELS, down * SUBPIXELS, a + across * (middle - ax) + down * (middle - ay)


def _view(
    seen: Seen,
    place: Projected | None,
    normals: Tensor,
    front: Tensor,
    camera: Camera,
    shading: Shading,
    supersample: int,
) -> Views:
    samples, device = int(len(seen.kept) ** 0.5), seen.kept.device
    towards = torch.where(front[:, None], normals, -normals)
    colours = shading.colours(towards @ torch.from_numpy(camera.axes).to(normals).T, front)
    # What is not there has the index -1, and with it the last row of both tables.
    colours = torch.cat([colours, torch.tensor([shading.background], dtype=torch.float32, device=device)])
    towards = torch.cat([towards.float(), torch.zeros(1, 3, device=device)])
    depth = torch.full((len(seen.kept),), float("inf"), device=device)
    if place is not None:
        depth = torch.where(seen.kept >= 0, place.depth(seen.nearness).float(), depth)
    shape = (samples, samples)
    view = resolved(
        colours[seen.kept].view(*shape, 3), depth.view(shape), towards[seen.kept].view(*shape, 3), supersample
    )
    return Views(view.images.cpu(), view.depth.cpu(), view.normals.cpu(), view.coverage.cpu())


__all__ = ["centred", "render_mesh", "render_points"]
