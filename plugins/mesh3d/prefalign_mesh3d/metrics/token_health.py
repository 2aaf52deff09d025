"""How healthy sampled token streams are, as a metric over many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from prefalign_mesh3d.metrics.functional.token_health import HEALTH, token_health
from prefalign_mesh3d.metrics.mean import MeanOverMeshes
from prefalign_mesh3d.tokenizers.base import MeshTokenizer


class TokenHealth(MeanOverMeshes):
    """Means of `token_health` over streams.

    `compute()` gives them with `valid`, the share of streams that hold a face, and `meshes`. Streams without a face
    count in `ended`, `bad_token_ratio`, `tokens` and `faces`: that they are empty is what these figures are for.

    Args:
        tokenizer: that reads the streams.
        kwargs: of torchmetrics' `Metric`.
    """

    def __init__(self, tokenizer: MeshTokenizer, **kwargs: Any) -> None:
        self.tokenizer = tokenizer
        super().__init__(HEALTH, **kwargs)

    def update(self, streams: Sequence[Sequence[int] | np.ndarray]) -> None:
        """Add N streams."""
        for tokens in streams:
            decoded = self.tokenizer.decode(np.asarray(tokens))
            self.add(token_health(tokens, self.tokenizer, decoded))
            self.measured -= int(not len(decoded.mesh.faces))


__all__ = ["TokenHealth"]
