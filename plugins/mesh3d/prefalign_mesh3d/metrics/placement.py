"""The frame in which shapes are measured. Distances mean nothing without it, so it is printed beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from prefalign.interfaces import unknown_name
from prefalign_mesh3d.mesh.grid import Frame
from prefalign_mesh3d.mesh.grid import frame_of as frame_by_side
from prefalign_mesh3d.mesh.mesh import Mesh

PlacementName = Literal["side_1.9", "side_2", "sphere", "none"]
FrameOf = Literal["each", "reference"]


@dataclass(frozen=True, slots=True)
class Placement:
    """How a mesh and its reference are moved and scaled before they are compared.

    Attributes:
        placement: `side_1.9` puts the bounding box's centre at 0 and makes its longest side 1.9, as BPT's and
            DeepMesh's figures do; `side_2` makes it 2; `sphere` makes the farthest vertex 1 from that centre; `none`
            leaves the shapes as they are.
        frame: `each` gives either shape its own frame, so that place and size are forgiven; `reference` gives both
            that of the reference, for shapes that are in one frame already.

    Raises:
        PrefalignError: for unknown names.
    """

    placement: PlacementName = "side_1.9"
    frame: FrameOf = "each"

    def __post_init__(self) -> None:
        if self.placement not in get_args(PlacementName):
            raise unknown_name("placement", self.placement, get_args(PlacementName))
        if self.frame not in get_args(FrameOf):
            raise unknown_name("frame", self.frame, get_args(FrameOf))

    @property
    def label(self) -> str:
        """One word for the names of figures: `side_1.9`, or `side_1.9-reference`."""
        return self.placement if self.frame == "each" or self.placement == "none" else f"{self.placement}-{self.frame}"

    def frame_of(self, mesh: Mesh) -> Frame:
        """The frame of one mesh.

        Raises:
            MeshError: for a mesh without vertices, or of an extent that overflows.
        """
        if self.placement == "none":
            return Frame((0.0, 0.0, 0.0), 1.0)
        frame = frame_by_side(mesh, half_side=1.0 if self.placement == "side_2" else 0.95)
        if self.placement != "sphere":
            return frame
        # In units of the longest side, whose square cannot overflow.
        radius = float(np.sqrt((frame.place(mesh.vertices) ** 2).sum(1)).max())
        return Frame(frame.centre, frame.scale * (radius or 1.0))

    def place(self, mesh: Mesh, reference: Mesh) -> tuple[Mesh, Mesh]:
        """Both shapes in the frame.

        Raises:
            MeshError: see `frame_of`.
        """
        other = self.frame_of(reference)
        own = other if self.frame == "reference" else self.frame_of(mesh)
        return Mesh(own.place(mesh.vertices), mesh.faces), Mesh(other.place(reference.vertices), reference.faces)


__all__ = ["FrameOf", "Placement", "PlacementName"]
