"""Encoder outputs of contexts, dealt out to rows in whichever form a family's model expects them.

Families differ in how they hold image features: a list of (tokens, D) tensors per image, one such tensor per context,
or a (tiles, tokens, D) tensor. All agree on the order of the tokens, which is that of the placeholders. So the features
are laid end to end, cut at each context's number of placeholders, dealt out, and put back into the form they came in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign_vision_llm.policies.images import dealt


def feature_count(features: Any) -> int:
    """Number of feature vectors in an encoder output's `pooler_output`."""
    return sum(part.numel() // part.shape[-1] for part in _parts(features))


def deal_features(encoded: Any, counts: Sequence[int], rows: Sequence[int]) -> Any:
    """The encoder output for the rows of a batch, from that of its contexts.

    Args:
        encoded: what `get_image_features` returned for all contexts: `pooler_output`, and `deepstack_features` (one
            further set per layer) in some families.
        counts: placeholders of each context.
        rows: the context of each row.
    """
    fields = {"pooler_output": _deal(encoded.pooler_output, counts, rows)}
    if (layers := getattr(encoded, "deepstack_features", None)) is not None:
        fields["deepstack_features"] = [_deal(layer, counts, rows) for layer in layers]
    return type(encoded)(**fields)


def features_only(encoded: Any) -> Any:
    """The encoder output without its hidden states, so that keeping it keeps little."""
    fields = {"pooler_output": encoded.pooler_output}
    if (layers := getattr(encoded, "deepstack_features", None)) is not None:
        fields["deepstack_features"] = layers
    return type(encoded)(**fields)


def _parts(features: Any) -> list[Tensor]:
    parts = [features] if isinstance(features, Tensor) else list(features)
    if not all(isinstance(part, Tensor) for part in parts):
        raise PrefalignError(
            f"image features in the form {type(features).__name__} of {[type(part).__name__ for part in parts[:3]]} "
            "cannot be shared between responses; set share_vision to false"
        )
    return parts


def _deal(features: Any, counts: Sequence[int], rows: Sequence[int]) -> Any:
    parts = _parts(features)
    flat = torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
    spread = dealt(flat, counts, rows)
    if isinstance(features, Tensor) and features.dim() > 2:
        return spread.reshape(-1, *features.shape[1:])
    # Models concatenate the list at once, so how it is divided is of no account.
    return spread if isinstance(features, Tensor) else [spread]
