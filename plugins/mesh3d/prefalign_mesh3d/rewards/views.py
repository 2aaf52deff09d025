"""Records to pictures of meshes from several sides: the light half of the rewards of appearance."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefalign.interfaces import Batch, PrefalignError, PreferenceRecord, Prompt, Relations
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.normals import face_normals
from prefalign_mesh3d.rendering.cameras import Camera, Up, ring_of_cameras, view_prompts
from prefalign_mesh3d.rendering.render import centred, render_mesh
from prefalign_mesh3d.rewards.responses import answer_of
from prefalign_mesh3d.tokenizers.base import MeshTokenizer


@dataclass(frozen=True, slots=True)
class Ring:
    """From where judges look, and what they get to see. Every shape is moved and scaled so that it fits the unit ball.

    Attributes:
        azimuths: K degrees around the vertical axis; the four sides, as Reward3D sees them (arXiv 2403.14613).
        elevation: degrees above the horizon.
        fov: degrees that a picture spans.
        up: vertical axis of the meshes.
        size: pixels along a side.
        supersample: samples along a side of a pixel.

    Raises:
        PrefalignError: for numbers out of range.
    """

    azimuths: tuple[float, ...] = (0.0, 90.0, 180.0, 270.0)
    elevation: float = 15.0
    fov: float = 40.0
    up: Up = "z"
    size: int = 224
    supersample: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "azimuths", tuple(float(azimuth) for azimuth in self.azimuths))
        if self.size < 1 or self.supersample < 1:
            raise PrefalignError(f"expected size and supersample of at least 1, got {self.size} and {self.supersample}")
        self.cameras  # noqa: B018  # its numbers are refused here, not in a worker

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """The K cameras."""
        return ring_of_cameras(self.azimuths, self.elevation, fov=self.fov, up=self.up)

    def views(self, mesh: Mesh) -> Tensor:
        """(K, H, W, 3) uint8 pictures of a mesh.

        Raises:
            MeshError: for a mesh of which nothing can be seen: without faces, or without area.
        """
        if not face_normals(mesh)[1].any():
            raise MeshError(f"nothing can be seen of the mesh: its {len(mesh.faces)} faces have no area")
        placed = Mesh(centred(mesh.vertices, like=mesh.vertices[np.unique(mesh.faces)]), mesh.faces)
        return render_mesh(placed, self.cameras, self.size, supersample=self.supersample).images


@dataclass(frozen=True, slots=True, eq=False)
class ViewRow:
    """One response.

    Attributes:
        mesh: what is seen; it may be empty.
        text: the prompt's text, empty where it has none.
        key: hash of mesh, text and ring.
        views: (K, H, W, 3) uint8 pictures; None where nothing can be seen, or none were asked for.
    """

    mesh: Mesh
    text: str
    key: str
    views: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class ViewExample:
    """One encoded record: a row per response."""

    record: PreferenceRecord
    rows: tuple[ViewRow, ...]


class ViewCodec:
    """Records whose responses are meshes, drawn from all sides.

    A response brings `token_ids`, or one medium of the kind `mesh`. Of the prompt only its text is read.

    Args:
        tokenizer: that reads `token_ids`; None where responses are files.
        ring: from where they are seen.
        draw: draw them when they are encoded, in the data loader's worker. Rewards that remember what they have seen
            draw only what is new to them.
    """

    def __init__(self, tokenizer: MeshTokenizer | None, ring: Ring, draw: bool = True) -> None:
        self.tokenizer, self.ring, self.draw = tokenizer, ring, draw

    def fingerprint(self) -> str:
        """Hash of what besides the record decides the encoding."""
        tokenizer = self.tokenizer.fingerprint() if self.tokenizer else None
        return hashlib.sha256(repr((type(self).__name__, tokenizer, self.ring, self.draw)).encode()).hexdigest()

    def encode(self, record: PreferenceRecord) -> ViewExample:
        """One record as meshes and their pictures.

        Raises:
            RecordError: for responses that are not as the class describes, or cannot be read.
        """
        return ViewExample(record, tuple(self._row(record, index) for index in range(len(record.responses))))

    def _row(self, record: PreferenceRecord, index: int) -> ViewRow:
        answer = answer_of(record, index, self.tokenizer)
        text = text_of(record.context(index))
        tokenizer = self.tokenizer.fingerprint() if self.tokenizer else None
        parts = (hashlib.sha256(answer.said).hexdigest(), tokenizer, text, self.ring)
        views = None
        if self.draw:
            with suppress(MeshError):  # then it has no pictures, which the reward says of it
                views = self.ring.views(answer.mesh)
        return ViewRow(answer.mesh, text, hashlib.sha256(repr(parts).encode()).hexdigest(), views)

    def collate(self, examples: Sequence[ViewExample], needs: frozenset[str] = frozenset()) -> Batch:
        """One batch, N rows in the order of the records.

        Inputs: `rows`, the N `ViewRow`s without their pictures; `images` (N, K, H, W, 3) uint8, black where there are
        none; `drawn` (N,) bool, where there are.
        """
        rows = [row for example in examples for row in example.rows]
        shape = (len(self.ring.azimuths), self.ring.size, self.ring.size, 3)
        nothing = torch.zeros(shape, dtype=torch.uint8)
        inputs: dict[str, Any] = {"rows": [ViewRow(row.mesh, row.text, row.key, None) for row in rows]}
        if self.draw:
            inputs["images"] = torch.stack([nothing if row.views is None else row.views for row in rows])
            inputs["drawn"] = torch.tensor([row.views is not None for row in rows])
        relations = Relations.from_records([example.record for example in examples])
        return Batch(inputs, relations, [row.key for row in rows])

    def prompts(self, row: ViewRow) -> list[str]:
        """The K prompts of a row, each with the side that its camera sees."""
        return view_prompts(row.text, self.ring.cameras)


def text_of(prompt: Prompt) -> str:
    """The text of a prompt, of all its turns; empty where it has none."""
    return (prompt.text or " ".join(message.text for message in prompt.messages)).strip()


__all__ = ["Ring", "ViewCodec", "ViewExample", "ViewRow", "text_of"]
