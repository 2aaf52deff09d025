"""Vectors of views, each computed once: rendering and encoding cost far more than the head on top."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from prefalign.data.atomic import atomic_path
from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.rewards.view_encoders import ViewEncoder
from prefalign_mesh3d.rewards.views import ViewCodec, ViewRow


class ViewVectors:
    """The vectors that one frozen encoder gives for rows.

    Not a module: its weights are in no checkpoint and no optimiser sees them.

    Args:
        encoder: asked only for what is not held.
        codec: that made the rows.
        folder: where vectors are kept between runs, one folder an encoder inside; only in memory if None.
    """

    def __init__(self, encoder: ViewEncoder, codec: ViewCodec, folder: Path | None = None) -> None:
        self.encoder, self.codec, self.folder = encoder, codec, folder
        # Rows of which nothing can be seen are held as None, so that they are not drawn again either.
        self._held: dict[str, Tensor | None] = {}
        self._fingerprint: str | None = None

    def load(self) -> None:
        """Load the encoder, and what was kept for it; calling it again changes nothing.

        Raises:
            PrefalignError: for weights that cannot be had, or a damaged file.
        """
        if self._fingerprint is not None:
            return
        self.encoder.configure_model()
        self.encoder.eval().requires_grad_(False)
        self._fingerprint = self.encoder.fingerprint()
        for file in sorted(self._place.glob("*.safetensors")) if self.folder else ():
            try:
                self._held.update(load_file(file))
            except SafetensorError as error:
                raise PrefalignError(f"{file}: damaged ({error}); delete it, it is computed anew") from None

    def fingerprint(self) -> str:
        """The encoder's, taken once.

        Raises:
            PrefalignError: before `load`.
        """
        if self._fingerprint is None:
            raise PrefalignError("the encoder is not loaded: call configure_model first")
        return self._fingerprint

    def look_up(self, rows: Sequence[ViewRow], device: torch.device) -> tuple[Tensor, Tensor]:
        """(N, K, D) float32 vectors, and (N,) bool where there are any; what is not held is drawn and encoded."""
        shape = (len(self.codec.ring.azimuths), self.encoder.width)
        self._compute([row for row in {row.key: row for row in rows}.values() if row.key not in self._held], device)
        found = [self._held[row.key] for row in rows]
        vectors = torch.stack([torch.zeros(shape) if held is None else held for held in found])
        return vectors.to(device), torch.tensor([held is not None for held in found], device=device)

    def _compute(self, missing: Sequence[ViewRow], device: torch.device) -> None:
        drawn: list[tuple[ViewRow, Tensor]] = []
        for row in missing:
            try:
                drawn.append((row, self.codec.ring.views(row.mesh)))
            except MeshError:
                self._held[row.key] = None
        if not drawn:
            return
        images = torch.stack([views for _, views in drawn]).to(device)
        prompts = [self.codec.prompts(row) for row, _ in drawn]
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            found = self.encoder.to(device)(images, prompts).float().cpu()
        fresh = {row.key: vector.clone() for (row, _), vector in zip(drawn, found, strict=True)}
        self._held.update(fresh)
        if self.folder:
            self._place.mkdir(parents=True, exist_ok=True)
            with atomic_path(self._place / f"{uuid.uuid4().hex}.safetensors") as partial:
                save_file(fresh, partial)

    @property
    def _place(self) -> Path:
        return Path(self.folder or "") / self.fingerprint()[:32]


__all__ = ["ViewVectors"]
