"""What cameras see: pictures with depth and normals, and how surfaces are shaded in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import reduce

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Shading:
    """Lambert's shading: a surface is as bright as the cosine between its normal and the direction of the light.

    Attributes:
        light: direction towards the light in the camera's axes: right, up, towards the viewer. It moves with the
            camera, so that all views are lit alike.
        ambient: share of the brightness that does not depend on the light, 0 to 1.
        front: colour of faces seen from the side on which their corners turn counter-clockwise.
        back: colour of faces seen from the other side, so that flipped faces and insides show.
        background: colour where nothing is. All colours are red, green, blue, 0 to 255.

    Raises:
        PrefalignError: for numbers out of range, or a light without direction.
    """

    light: tuple[float, float, float] = (-0.35, 0.6, 1.0)
    ambient: float = 0.25
    front: Colour = (196, 204, 214)
    back: Colour = (222, 108, 84)
    background: Colour = (255, 255, 255)

    def __post_init__(self) -> None:
        length = sum(part * part for part in self.light)
        if not 0 < length < float("inf"):
            raise PrefalignError(f"expected a finite light with a direction, got {self.light}")
        if not 0 <= self.ambient <= 1:
            raise PrefalignError(f"expected ambient from 0 to 1, got {self.ambient}")
        for name in ("front", "back", "background"):
            colour = getattr(self, name)
            if len(colour) != 3 or not all(0 <= part <= 255 for part in colour):
                raise PrefalignError(f"expected {name} as three numbers from 0 to 255, got {colour}")

    def colours(self, normals: Tensor, front: Tensor) -> Tensor:
        """(n, 3) float32 colours, 0 to 255.

        Args:
            normals: (n, 3) unit normals in the camera's axes, on the side that is seen.
            front: (n,) bool, whether that is the front.
        """
        light = torch.nn.functional.normalize(normals.new_tensor(self.light), dim=0)
        bright = self.ambient + (1 - self.ambient) * (normals @ light).clamp(min=0)
        surface = torch.where(front[:, None], normals.new_tensor(self.front), normals.new_tensor(self.back))
        return (surface * bright[:, None]).float()


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """The pictures of K cameras, H = W pixels each, row 0 on top.

    Attributes:
        images: (K, H, W, 3) uint8 red, green, blue.
        depth: (K, H, W) float32 distance along the camera's axis to what is nearest, infinite where nothing is.
        normals: (K, H, W, 3) float32 mean unit normal of what is seen, x, y, z, on the side that is seen; 0 where
            nothing is.
        coverage: (K, H, W) float32 share of the pixel that is covered, 0 to 1.
    """

    images: Tensor
    depth: Tensor
    normals: Tensor
    coverage: Tensor

    @classmethod
    def stacked(cls, parts: Iterable[Views]) -> Views:
        """The views of all parts, one after the other."""
        held = list(parts)
        return cls(*(torch.cat([getattr(part, item.name) for part in held]) for item in fields(cls)))


def resolved(colours: Tensor, depth: Tensor, normals: Tensor, supersample: int) -> Views:
    """One view from s × s samples a pixel: colours averaged, the nearest depth, the mean normal of what is covered.

    Args:
        colours: (s·H, s·W, 3) float32.
        depth: (s·H, s·W) float32, infinite where nothing is.
        normals: (s·H, s·W, 3) float32, 0 there.
        supersample: s.
    """
    grids = [slice(start, None, supersample) for start in range(supersample)]

    # One strided grid after the other: torch reduces short inner axes many times slower.
    def mean(values: Tensor) -> Tensor:
        return sum((values[y, x] for y in grids for x in grids), start=colours.new_zeros(())) / supersample**2

    nearest = reduce(torch.minimum, (depth[y, x] for y in grids for x in grids))
    return Views(
        mean(colours).round().to(torch.uint8)[None],
        nearest[None],
        torch.nn.functional.normalize(mean(normals), dim=-1)[None],
        mean(depth.isfinite().float())[None],
    )


__all__ = ["Colour", "Shading", "Views", "resolved"]
