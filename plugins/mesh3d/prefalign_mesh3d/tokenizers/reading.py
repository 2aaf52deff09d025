"""What all decoders share: taking the geometry out of any integer sequence, and building the mesh and its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import cells_of, distinct_cells, sorted_rows, used_vertices
from prefalign_mesh3d.mesh.mesh import GridMesh
from prefalign_mesh3d.mesh.sorting import first_of_runs
from prefalign_mesh3d.tokenizers.base import Decoded, DecodeReport, MeshTokenizer


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """The geometry of a sequence.

    Attributes:
        ids: (n,) int64 geometry ids before the end.
        places: (n,) int64 where they stand in the sequence.
        length: of the sequence.
        first: where geometry should begin: behind a begin id in front.
        judged: number of tokens from there to the end: those that should carry geometry.
    """

    ids: np.ndarray
    places: np.ndarray
    length: int
    first: int
    judged: int


def stream_of(tokens: Any, tokenizer: MeshTokenizer) -> Stream:
    """The geometry of any integer sequence; ids outside the vocabulary are left out.

    Raises:
        MeshError: for what is not a sequence of integers.
    """
    array = _integers(tokens)
    ends = np.flatnonzero(array == tokenizer.eos_id)
    end = int(ends[0]) if len(ends) else len(array)
    first = int(end > 0 and array[0] == tokenizer.bos_id)
    places = np.flatnonzero((array[:end] >= 0) & (array[:end] < tokenizer.geometry_size))
    return Stream(array[places].astype(np.int64), places, len(array), first, end - first)


def _integers(tokens: Any) -> np.ndarray:
    try:
        array = np.asarray(tokens)
        if array.dtype.kind == "f" and array.size and not isinstance(tokens, np.ndarray):
            # NumPy makes floats of integers around 2**63; as Python objects they stay what they are.
            array = np.asarray(tokens, object)
    except ValueError as error:
        raise MeshError(f"expected a sequence of integers, got {type(tokens).__name__}: {error}") from error
    if array.size == 0:
        return np.zeros(0, np.int64)
    whole = array.dtype.kind in "iu" or (array.dtype.kind == "O" and all(type(value) is int for value in array.flat))
    if array.ndim != 1 or not whole:
        raise MeshError(f"expected a sequence of integers, got shape {array.shape} of {array.dtype}")
    return array


def assemble(cells: np.ndarray, triangles: np.ndarray, levels: int, owner: np.ndarray, stream: Stream) -> Decoded:
    """Weld the corners that a decoder read, drop faces that are none, and say which token belongs to which face.

    Args:
        cells: (n, 3) int64 vertices in the order of reading, repeated ones included.
        triangles: (m, 3) int64 indices into `cells`, in the order of reading.
        levels: cells along one side.
        owner: (stream.ids,) int64 the vertex that a geometry token is part of, -1 for none.
        stream: what was read.
    """
    keys, index = distinct_cells(cells, levels)
    corners = index[triangles]
    a, b, c = corners.T
    proper = np.flatnonzero((a != b) & (b != c) & (c != a))
    rows = np.sort(corners[proper], axis=1)
    by_row = sorted_rows(rows, len(keys))
    new = first_of_runs(rows[by_row, 0]) | first_of_runs(rows[by_row, 1]) | first_of_runs(rows[by_row, 2])
    kept = proper[np.sort(by_row[new])]
    used, faces = used_vertices(corners[kept], len(keys))
    vertices = cells_of(keys[used], levels)

    # A vertex belongs to its first face that was kept. Assigning in reverse leaves the first.
    face_of_vertex = np.full(len(cells) + 1, -1)
    face_of_vertex[triangles[kept[::-1]]] = np.arange(len(kept))[::-1, None]
    in_a_triangle = np.zeros(len(cells) + 1, bool)
    in_a_triangle[triangles] = True
    face_of_token = np.full(stream.length, -1)
    # Index -1 is the extra row at the end, which belongs to nothing.
    face_of_token[stream.places] = face_of_vertex[owner]
    report = DecodeReport(
        bad_tokens=stream.judged - int(in_a_triangle[owner].sum()),
        degenerate=len(triangles) - len(proper),
        duplicate=len(proper) - len(kept),
    )
    return Decoded(GridMesh(vertices, faces, levels), report, face_of_token)


__all__ = ["Stream", "assemble", "stream_of"]
