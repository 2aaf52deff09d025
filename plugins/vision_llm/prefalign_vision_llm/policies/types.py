"""Tensors with one value per token (`*token_type_ids`), continued from the prompt over the response."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from prefalign.models.tokens import TokenRow

#: How the names of these tensors end, in every family.
ALIGNED = "token_type_ids"


def collate_types(
    rows: Sequence[TokenRow], starts: Sequence[int], attention: Tensor, image_token_id: int
) -> dict[str, Tensor]:
    """The tensors of the rows' prompts as (N, T) of the batch; 0 on padding and where a row brings none.

    Args:
        rows: the N rows, whose `side` holds them as (1, P).
        starts: where each row's response begins.
        attention: (N, T) 1 on tokens, 0 on padding.
        image_token_id: the id of image tokens.
    """
    names = sorted({name for row in rows for name in row.side if name.endswith(ALIGNED)})
    found = {}
    for name in names:
        value = torch.zeros_like(attention)
        for index, (row, start) in enumerate(zip(rows, starts, strict=True)):
            if name in row.side:
                types = row.side[name][0]
                value[index, :start] = types[:start]
                value[index, start:] = attention[index, start:] * _of_response(
                    name, types, image_token_id in row.prompt
                )
        found[name] = value
    return found


def _of_response(name: str, types: Tensor, has_image: bool) -> int:
    """The type of response tokens.

    `token_type_ids` means one of two things. Where image tokens have a type of their own, responses have that of text,
    0. Where even image tokens have type 0, it tells prompt (0, attended in both directions) from response (1), as in
    PaliGemma. A model that reads no such tensor is not given it.
    """
    return int(name == ALIGNED and has_image and not types.any())
