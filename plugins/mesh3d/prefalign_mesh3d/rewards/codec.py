"""Records to meshes beside the clouds of their references: the light half of the geometry reward."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefalign.interfaces import Batch, PrefalignError, PreferenceRecord, Relations
from prefalign_mesh3d.mesh.clouds import MESH, POINTS, cloud_from_bytes, medium_bytes
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.metrics.functional.fidelity import Cloud, cloud_from
from prefalign_mesh3d.rewards.responses import answer_of, placed_mesh
from prefalign_mesh3d.tokenizers.base import MeshTokenizer


@dataclass(frozen=True, slots=True, eq=False)
class GeometryRow:
    """One response.

    Attributes:
        mesh: in the cube; it may be empty.
        cloud: of its reference, in the same cube.
        ended: whether the sampling came to its end; a mesh from a file has.
        key: hash of all of it.
    """

    mesh: Mesh
    cloud: Cloud
    ended: bool
    key: str


@dataclass(frozen=True, slots=True, eq=False)
class GeometryExample:
    """One encoded record: a row per response."""

    record: PreferenceRecord
    rows: tuple[GeometryRow, ...]


class GeometryCodec:
    """Records whose responses are meshes and whose reference is a cloud or a mesh.

    The reference is the record's `reference_answer`, or else the one medium of the prompt. A response brings
    `token_ids`, or one medium of the kind `mesh`. Tokens decode into the cube, and clouds lie in it; meshes of files
    are welded, then moved and scaled there, so that their longest side is 1.9, as tokenizers place them.

    Args:
        tokenizer: that reads `token_ids`; None where responses are files.
        samples: points drawn from a reference that is a mesh.
        seed: of that draw.
        settings: of the reward. It has no weights that would tell it from others, so they are part of the fingerprint.
    """

    def __init__(
        self, tokenizer: MeshTokenizer | None, samples: int, seed: int, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.tokenizer, self.samples, self.seed, self.settings = tokenizer, samples, seed, dict(settings or {})

    def fingerprint(self) -> str:
        """Hash of what besides the record decides the encoding."""
        tokenizer = self.tokenizer.fingerprint() if self.tokenizer else None
        parts = (type(self).__name__, tokenizer, self.samples, self.seed, sorted(self.settings.items()))
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def encode(self, record: PreferenceRecord) -> GeometryExample:
        """One record as meshes and clouds.

        Raises:
            RecordError: for references and responses that are not as the class describes, or cannot be read.
        """
        clouds: dict[int, tuple[Cloud, bytes]] = {}
        rows = []
        for index in range(len(record.responses)):
            prompt = record.context(index)
            if id(prompt) not in clouds:
                clouds[id(prompt)] = self._reference(record, index)
            rows.append(self._row(record, index, *clouds[id(prompt)]))
        return GeometryExample(record, tuple(rows))

    def _reference(self, record: PreferenceRecord, index: int) -> tuple[Cloud, bytes]:
        answer = record.reference_answer
        media, place = (answer.media, "reference_answer") if answer else (record.context(index).media, "prompt.media")
        if len(media) != 1 or media[0].kind not in (POINTS, MESH):
            kinds = [medium.kind for medium in media]
            raise record.error(
                f"expected one medium of the kind 'points' or 'mesh' as the reference, got {kinds}", place
            )
        try:
            data = medium_bytes(media[0])
            if media[0].kind == POINTS:
                cloud = cloud_from_bytes(data).astype(np.float64)
                return Cloud(cloud[:, :3], cloud[:, 3:]), hashlib.sha256(data).digest()
            return cloud_from(placed_mesh(media[0], data), self.samples, self.seed), hashlib.sha256(data).digest()
        except PrefalignError as error:
            raise record.error(str(error), place) from error

    def _row(self, record: PreferenceRecord, index: int, cloud: Cloud, digest: bytes) -> GeometryRow:
        mesh, ended, said = answer_of(record, index, self.tokenizer)
        return GeometryRow(mesh, cloud, ended, hashlib.sha256(digest + said).hexdigest())

    def collate(self, examples: Sequence[GeometryExample], needs: frozenset[str] = frozenset()) -> Batch:
        """One batch whose input `rows` holds the meshes and clouds in the order of the records."""
        rows = [row for example in examples for row in example.rows]
        inputs: dict[str, Any] = {"rows": rows}
        return Batch(
            inputs, Relations.from_records([example.record for example in examples]), [row.key for row in rows]
        )


__all__ = ["GeometryCodec", "GeometryExample", "GeometryRow"]
