"""Image tensors of a batch: one entry per context, joined without regard to family, and dealt out to the rows.

A *context* is a prompt with its images; the responses of a record usually share one. Whatever a processor returns
beside token ids belongs to a context and is counted along its first axis (images, tiles or patches).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prefalign.interfaces import PrefalignError

#: Prefix of image tensors among a batch's inputs, which keeps them apart from the tensors that have one entry per row.
PREFIX = "image/"


def join(name: str, parts: Sequence[Tensor], *, sized: bool) -> Tensor:
    """Tensors of several contexts as one: padded with zeros on every axis but the first, then concatenated.

    Args:
        name: the processor's name of the tensor, for messages.
        parts: each (entries, ...), with the same number of axes.
        sized: a mask or a size beside the pixels tells the model which of them are padding.

    Raises:
        PrefalignError: for images of unequal size without such a tensor, because the padding would be seen.
    """
    shape = [max(part.shape[axis] for part in parts) for axis in range(1, parts[0].dim())]
    if not sized and len(shape) >= 2 and any(list(part.shape[-2:]) != shape[-2:] for part in parts):
        sizes = sorted({tuple(part.shape[-2:]) for part in parts})
        raise PrefalignError(
            f"{name}: the images of one batch differ in size {sizes}, and the processor gives no mask for padding; let "
            "it resize or crop to one size, or use a batch size of 1"
        )
    padded = []
    for part in parts:
        missing = [most - have for most, have in zip(shape, part.shape[1:], strict=True)]
        # F.pad counts axes from the last to the first.
        padded.append(F.pad(part, [side for amount in reversed(missing) for side in (0, amount)]))
    return torch.cat(padded)


def collate_images(contexts: Sequence[Mapping[str, Tensor]]) -> dict[str, Any]:
    """The image tensors of the contexts as inputs of a batch.

    Returns:
        For every tensor name `image/<name>` the joined tensor, and `image_entries`: for every name, how many of its
        entries belong to each context, in order.
    """
    names = sorted({name for context in contexts for name in context})
    inputs: dict[str, Any] = {"image_entries": {}}
    for name in names:
        parts = [context[name] for context in contexts if name in context]
        sized = {"pixel_attention_mask", "image_sizes"} & set(names)
        inputs[PREFIX + name] = join(name, parts, sized=bool(sized))
        inputs["image_entries"][name] = [len(context[name]) if name in context else 0 for context in contexts]
    return inputs


def image_tensors(inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Name to tensor over all contexts."""
    return {name: inputs[PREFIX + name] for name in inputs.get("image_entries", ())}


def dealt(value: Tensor, counts: Sequence[int], rows: Sequence[int]) -> Tensor:
    """The entries of every row's context, row after row.

    Args:
        value: (sum of `counts`, ...) entries of all contexts.
        counts: entries of each context.
        rows: the context of each row.
    """
    pieces = torch.split(value, list(counts))
    return torch.cat([pieces[context] for context in rows])
