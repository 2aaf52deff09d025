"""A small generator on 16 levels, and records of boxes for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from prefalign.interfaces import Media, Pair, PreferenceRecord, Prompt, Response
from prefalign_mesh3d.mesh.clouds import cloud_bytes
from prefalign_mesh3d.policies.mesh_policy import MeshPolicy
from prefalign_mesh3d.tokenizers.deepmesh import DeepMesh

POINTS = 8
SIZES: dict[str, Any] = {
    "width": 16,
    "heads": 2,
    "inner": 24,
    "depths": [1, 1, 1],
    "points": {"latents": 3, "width": 16, "heads": 2, "layers": 1, "frequencies": 2, "out_width": 12},
}


def a_cloud(seed: int, count: int = POINTS) -> np.ndarray:
    """(count, 6) positions in the cube and unit normals."""
    drawn = np.random.default_rng(seed).uniform(-0.9, 0.9, (count, 6))
    drawn[:, 3:] /= np.linalg.norm(drawn[:, 3:], axis=1, keepdims=True)
    return drawn.astype(np.float32)


def tokens_of(seed: int, length: int) -> tuple[int, ...]:
    """Random ids of geometry, then the end."""
    tokenizer = DeepMesh(2, 2, 4)
    ids = np.random.default_rng(seed).integers(0, tokenizer.geometry_size, length - 1)
    return (*ids.tolist(), tokenizer.eos_id)


def a_record(name: str, lengths: tuple[int, ...] = (30, 21), **changes: Any) -> PreferenceRecord:
    """A pair of random streams under a random cloud."""
    seed = sum(map(ord, name))
    values: dict[str, Any] = {
        "id": name,
        "prompt": Prompt(media=(Media(kind="points", data=cloud_bytes(a_cloud(seed))),)),
        "responses": tuple(Response(token_ids=tokens_of(seed + i, n)) for i, n in enumerate(lengths)),
        "verdict": Pair(),
    }
    return PreferenceRecord(**{**values, **changes})


@pytest.fixture
def make_policy() -> Callable[..., MeshPolicy]:
    """A configured policy in float64."""

    def make(model: dict[str, Any] | None = None, **options: Any) -> MeshPolicy:
        values: dict[str, Any] = {"points": POINTS, "chunk_size": 7, **options}
        policy = MeshPolicy({**SIZES, **(model or {})}, DeepMesh(2, 2, 4), **values)
        policy.configure_model()
        return policy.double()

    return make
