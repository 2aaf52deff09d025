"""The mesh that a response is, or stands for."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from prefalign.interfaces import Media, PrefalignError, PreferenceRecord
from prefalign_mesh3d.mesh.clouds import MESH, medium_bytes
from prefalign_mesh3d.mesh.files import mesh_from_bytes
from prefalign_mesh3d.mesh.grid import dequantise, frame_of
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.mesh.welding import welded
from prefalign_mesh3d.tokenizers.base import MeshTokenizer


class Answer(NamedTuple):
    """What a response brings.

    Attributes:
        mesh: in the cube [-1, 1]; it may be empty.
        ended: whether the sampling came to its end; a mesh from a file has.
        said: the bytes that it came from.
    """

    mesh: Mesh
    ended: bool
    said: bytes


def answer_of(record: PreferenceRecord, index: int, tokenizer: MeshTokenizer | None) -> Answer:
    """The mesh of one response: of its `token_ids`, or else of its one medium of the kind `mesh`.

    Tokens decode into the cube; meshes of files are placed there (see `placed_mesh`).

    Raises:
        RecordError: for responses that are neither, tokens without a tokenizer, and files that cannot be read.
    """
    response, place = record.responses[index], f"responses[{index}]"
    if response.token_ids is not None:
        if tokenizer is None:
            raise record.error("the response is token_ids, and the reward has no tokenizer to read them", place)
        mesh = dequantise(tokenizer.decode(np.array(response.token_ids, np.int64)).mesh)
        return Answer(mesh, tokenizer.eos_id in response.token_ids, repr(response.token_ids).encode())
    if [medium.kind for medium in response.media] != [MESH]:
        raise record.error("expected token_ids, or one medium of the kind 'mesh'", place)
    try:
        said = medium_bytes(response.media[0])
        return Answer(placed_mesh(response.media[0], said), True, said)
    except PrefalignError as error:
        raise record.error(str(error), f"{place}.media[0]") from error


def placed_mesh(medium: Media, data: bytes) -> Mesh:
    """The mesh of a file, welded, then moved and scaled so that its longest side is 1.9, as tokenizers place it.

    Args:
        medium: says the format by its suffix; bytes without a name are GLB.
        data: its bytes.

    Raises:
        MeshError: for a file that is none.
    """
    suffix = Path(medium.path or "mesh.glb").suffix.lstrip(".")
    mesh = welded(mesh_from_bytes(data, suffix, medium.path or "the record's mesh"))
    return Mesh(frame_of(mesh).place(mesh.vertices), mesh.faces)


__all__ = ["Answer", "answer_of", "placed_mesh"]
