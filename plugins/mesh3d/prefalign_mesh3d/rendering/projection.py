"""Points in front of a camera, in pixels, and how near they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.rendering.cameras import Camera
from prefalign_mesh3d.rendering.coverage import FARTHEST, SUBPIXELS


@dataclass(frozen=True, slots=True, eq=False)
class Projected:
    """Points as a camera sees them.

    Attributes:
        screen: (n, 2) int64 x to the right and y downwards, in 1/256 samples from the upper left corner.
        nearness: (n,) float64 in (0, 1], linear across the picture along any plane; 1 is the nearest point.
        near, far: depth of the nearest and of the farthest point.
        parallel: whether rays are parallel, so that nearness falls with depth instead of being its reciprocal.
    """

    screen: Tensor
    nearness: Tensor
    near: float
    far: float
    parallel: bool

    def depth(self, nearness: Tensor) -> Tensor:
        """Depths of nearnesses."""
        if self.parallel:
            return self.far + (self.near - self.far) * (2 * nearness - 1)
        return self.near / nearness


def projected(points: Tensor, camera: Camera, size: int) -> Projected:
    """Points in a square picture.

    Args:
        points: (n, 3) float64, at least one.
        camera: that looks at them.
        size: samples along a side of the picture.

    Raises:
        MeshError: for points behind the camera, or so far to the side that their place in the picture overflows.
    """
    right, up, back = torch.from_numpy(camera.axes).to(points) @ points.T
    depth = camera.distance - back
    near, far = float(depth.min()), float(depth.max())
    if not near > 0:
        raise MeshError(
            f"a point lies {-near:g} behind the camera at distance {camera.distance:g}; move the camera away, or the "
            "shape to the origin (`centred`)"
        )
    if camera.fov is None:
        scale: Tensor | float = size / camera.extent
        nearness = 0.5 + 0.5 * (far - depth) / ((far - near) or 1.0)
    else:
        scale = size / 2 / math.tan(math.radians(camera.fov) / 2) / depth
        nearness = near / depth
    screen = (torch.stack([size / 2 + right * scale, size / 2 - up * scale], 1) * SUBPIXELS).round()
    if not float(screen.abs().max()) <= FARTHEST:
        raise MeshError(
            f"a point lies {float(screen.abs().max()) / SUBPIXELS:.3g} pixels from the picture's corner, and at most "
            f"{FARTHEST // SUBPIXELS} can be drawn; move the camera away, or the shape to the origin (`centred`)"
        )
    return Projected(screen.long(), nearness, near, far, camera.fov is None)


__all__ = ["Projected", "projected"]
