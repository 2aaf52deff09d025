"""How healthy one sampled token stream is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prefalign_mesh3d.tokenizers.base import Decoded, MeshTokenizer
from prefalign_mesh3d.tokenizers.reading import stream_of

#: Names of the figures.
HEALTH = ("ended", "bad_token_ratio", "degenerate_ratio", "duplicate_ratio", "tokens", "faces", "tokens_per_face")


def token_health(tokens: Sequence[int] | np.ndarray, tokenizer: MeshTokenizer, decoded: Decoded) -> dict[str, float]:
    """Figures of one stream.

    Args:
        tokens: begin and end ids included or not; what stands behind the first end id is padding.
        tokenizer: that reads them.
        decoded: what it made of them.

    Returns:
        `ended`: 1 where the end id occurs, else 0. `bad_token_ratio`: share of the tokens that no rule allows where
        they stand. `degenerate_ratio`, `duplicate_ratio`: share of all faces in the stream that were dropped as such,
        NaN without a face. `tokens`: their number, begin and end not counted. `faces`: those kept. `tokens_per_face`:
        NaN without a face.

    Raises:
        MeshError: for what is not a sequence of integers.
    """
    stream, report = stream_of(tokens, tokenizer), decoded.report
    count = stream.judged
    kept = len(decoded.mesh.faces)
    made = kept + report.degenerate + report.duplicate
    return {
        "ended": float(stream.first + count < stream.length),
        "bad_token_ratio": report.bad_tokens / count if count else 0.0,
        "degenerate_ratio": report.degenerate / made if made else float("nan"),
        "duplicate_ratio": report.duplicate / made if made else float("nan"),
        "tokens": float(count),
        "faces": float(kept),
        "tokens_per_face": count / kept if kept else float("nan"),
    }


__all__ = ["HEALTH", "token_health"]
