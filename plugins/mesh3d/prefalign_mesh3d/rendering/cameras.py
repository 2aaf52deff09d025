"""Cameras around the origin, in degrees. A ring of them looks at a shape from all sides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from prefalign.interfaces import PrefalignError

Up = Literal["z", "y"]

#: Elevation in degrees from which a view shows the top rather than a side.
_OVERHEAD = 60.0


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that looks at the origin, the vertical axis pointing up in its picture.

    Attributes:
        azimuth: degrees around the vertical axis, counter-clockwise seen from above. At 0 the camera stands on +x where
            z is up, on +z where y is up.
        elevation: degrees above the horizon, -90 to 90.
        distance: from the origin, above 0, in the unit of the shapes.
        fov: degrees that the picture spans, between 0 and 180; None for parallel rays.
        extent: what the picture spans where rays are parallel, in the unit of the shapes.
        up: vertical axis.

    Raises:
        PrefalignError: for numbers out of range.
    """

    azimuth: float
    elevation: float
    distance: float
    fov: float | None = 40.0
    extent: float = 2.0
    up: Up = "z"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.azimuth) and -90 <= self.elevation <= 90):
            raise PrefalignError(
                f"expected a finite azimuth and an elevation from -90 to 90 degrees, got {self.azimuth} and "
                f"{self.elevation}"
            )
        if not (0 < self.distance < math.inf and 0 < self.extent < math.inf):
            raise PrefalignError(f"expected distance and extent above 0, got {self.distance} and {self.extent}")
        if self.fov is not None and not 0 < self.fov < 180:
            raise PrefalignError(f"expected a field of view between 0 and 180 degrees, got {self.fov}")
        if self.up not in ("z", "y"):
            raise PrefalignError(f"expected up to be 'z' or 'y', got {self.up!r}")

    @property
    def axes(self) -> np.ndarray:
        """(3, 3) float64 orthonormal rows: to the right of the picture, up in it, and towards the viewer."""
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        ca, sa, ce, se = math.cos(azimuth), math.sin(azimuth), math.cos(elevation), math.sin(elevation)
        axes = np.array([[-sa, ca, 0], [-se * ca, -se * sa, ce], [ce * ca, ce * sa, se]])
        # With y up the roles of x, y, z are those of z, x, y: a turn, no mirror.
        return axes if self.up == "z" else axes[:, [1, 2, 0]]

    @property
    def position(self) -> np.ndarray:
        """(3,) where the camera stands."""
        return self.axes[2] * self.distance

    @property
    def side(self) -> str:
        """What it sees of a shape: `front`, `back`, `side`, or `overhead` from 60 degrees above."""
        if self.elevation >= _OVERHEAD:
            return "overhead"
        turned = abs((self.azimuth + 180) % 360 - 180)
        return "front" if turned <= 45 else "back" if turned >= 135 else "side"


def ring_of_cameras(
    azimuths: Sequence[float],
    elevation: float = 20.0,
    distance: float | None = None,
    fov: float | None = 40.0,
    up: Up = "z",
) -> tuple[Camera, ...]:
    """A camera per azimuth, all of them at one elevation.

    Args:
        azimuths: degrees.
        elevation: degrees.
        distance: None for the smallest one that shows all of the unit ball.
        fov: degrees; None for parallel rays, which span the unit ball.
        up: vertical axis.

    Raises:
        PrefalignError: for no azimuth, or numbers out of range.
    """
    if not len(azimuths):
        raise PrefalignError("expected at least one azimuth")
    if distance is None:
        distance = 2.0 if fov is None else 1 / math.sin(math.radians(min(max(fov, 1e-3), 179.0)) / 2)
    return tuple(Camera(azimuth, elevation, distance, fov, up=up) for azimuth in azimuths)


def view_prompts(prompt: str, cameras: Sequence[Camera]) -> list[str]:
    """The prompt for each camera, with what the camera sees: `a chair, front view`."""
    return [f"{prompt.strip()}, {camera.side} view" if prompt.strip() else f"{camera.side} view" for camera in cameras]


__all__ = ["Camera", "Up", "ring_of_cameras", "view_prompts"]
