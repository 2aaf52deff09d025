"""Tokenizers by their short names."""

from __future__ import annotations

import inspect
from typing import Any

from prefalign.interfaces import unknown_name
from prefalign_mesh3d.mesh.errors import MeshError
from prefalign_mesh3d.tokenizers.amt import AMT
from prefalign_mesh3d.tokenizers.base import MeshTokenizer
from prefalign_mesh3d.tokenizers.bpt import BPT
from prefalign_mesh3d.tokenizers.coord9 import Coord9
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh
from prefalign_mesh3d.tokenizers.edgerunner import EdgeRunner

TOKENIZERS: dict[str, type[MeshTokenizer]] = {each.name: each for each in (Coord9, AMT, EdgeRunner, BPT, DeepMesh)}


def tokenizer(name: str, **settings: Any) -> MeshTokenizer:
    """Build a tokenizer.

    Args:
        name: a key of `TOKENIZERS`.
        settings: arguments of its constructor.

    Raises:
        MeshError: for a name or an argument that there is not, or a value that the tokenizer refuses.
    """
    if name not in TOKENIZERS:
        raise MeshError(str(unknown_name("tokenizer", name, TOKENIZERS)))
    arguments = list(inspect.signature(TOKENIZERS[name].__init__).parameters)[1:]
    for setting in settings:
        if setting not in arguments:
            raise MeshError(str(unknown_name(f"setting of {name}", setting, arguments)))
    return TOKENIZERS[name](**settings)


__all__ = ["TOKENIZERS", "tokenizer"]
