"""Token sequences in files: a NumPy archive with the ids, the tokenizer and where the mesh lay. No pickle."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.mesh.grid import Frame, dequantise
from prefalign_mesh3d.mesh.mesh import Mesh
from prefalign_mesh3d.tokenizers.base import Decoded, MeshTokenizer
from prefalign_mesh3d.tokenizers.names import tokenizer

#: Bytes that an archive may unpack to; about a hundred million ids.
MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class TokenFile:
    """What a file holds.

    Attributes:
        tokens: (T,) integer ids.
        tokenizer: that wrote them.
        frame: where the mesh lay before it was placed.
    """

    tokens: np.ndarray
    tokenizer: MeshTokenizer
    frame: Frame

    def decode(self) -> tuple[Mesh, Decoded]:
        """The mesh in its own place and size, vertices at the centres of their cells, and what the decoder says."""
        decoded = self.tokenizer.decode(self.tokens)
        placed = dequantise(decoded.mesh)
        return Mesh(self.frame.restore(placed.vertices), placed.faces), decoded


def write_tokens(file: TokenFile, path: Path) -> None:
    """Write `tokens`, `tokenizer` (its settings as JSON text), `centre` (3,) and `scale`."""
    ids = file.tokens.astype(np.min_scalar_type(file.tokenizer.vocab_size))
    settings = np.array(json.dumps(file.tokenizer.settings()))
    with path.open("wb") as target:
        np.savez_compressed(
            target, tokens=ids, tokenizer=settings, centre=np.array(file.frame.centre), scale=np.array(file.frame.scale)
        )


def read_tokens(path: Path) -> TokenFile:
    """Read what `write_tokens` wrote.

    Raises:
        MeshError: for anything else, with the file and what is wrong with it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MOST_BYTES:
            raise MeshError(f"{path}: unpacks to {size:,} bytes, more than the {MOST_BYTES:,} that are read")
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("tokens", "tokenizer", "centre", "scale")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise MeshError(f"{path}: not an archive that `prefalign mesh3d tokenize --out` wrote: {error}") from error
    try:
        return TokenFile(found["tokens"], _tokenizer(found["tokenizer"]), _frame(found["centre"], found["scale"]))
    except MeshError as error:
        raise MeshError(f"{path}: {error}") from error


def _tokenizer(settings: np.ndarray) -> MeshTokenizer:
    try:
        value: Any = json.loads(str(settings))
    except json.JSONDecodeError as error:
        raise MeshError(f"the tokenizer's settings are not JSON: {error}") from error
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise MeshError(f"expected the tokenizer's settings as an object with a name, got {str(settings)[:80]!r}")
    return tokenizer(**value)


def _frame(centre: np.ndarray, scale: np.ndarray) -> Frame:
    numbers = np.concatenate([centre.ravel(), scale.ravel()])
    if numbers.dtype.kind != "f" or len(numbers) != 4 or not np.isfinite(numbers).all() or numbers[3] <= 0:
        raise MeshError(f"expected three finite coordinates of the centre and a scale above 0, got {numbers.tolist()}")
    x, y, z, size = numbers.tolist()
    return Frame((x, y, z), size)


__all__ = ["MOST_BYTES", "TokenFile", "read_tokens", "write_tokens"]
