"""Drawing meshes token by token, through a window that slides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign_mesh3d.models.generator import MeshGenerator
from prefalign_mesh3d.policies.windows import Windowing

#: Changes the logits (N, V) of the next token from the tokens (N, T) so far; Transformers' logits processors are such.
LogitsProcessor = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class SamplingSettings:
    """How tokens are drawn.

    Attributes:
        temperature: divides the logits, > 0. DeepMesh samples its meshes at 0.5.
        top_k: only the k likeliest tokens; 0 for all.
        top_p: only the likeliest tokens that together have this probability, in (0, 1].
        max_tokens: most tokens of a mesh, its end included.

    Raises:
        PrefalignError: for values out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    max_tokens: int = 1024

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and 0 < self.top_p <= 1 and self.top_k >= 0 and self.max_tokens >= 1):
            raise PrefalignError(
                f"expected temperature > 0, 0 < top_p <= 1, top_k >= 0 and max_tokens >= 1; got {self}"
            )


@torch.no_grad()
def draw(
    model: MeshGenerator,
    condition: Tensor,
    ends: tuple[int, int],
    settings: SamplingSettings,
    windowing: Windowing | None,
    generator: torch.Generator | None,
    processors: Sequence[LogitsProcessor] = (),
) -> list[list[int]]:
    """One sequence per condition.

    Args:
        model: in eval mode.
        condition: (N, M, C).
        ends: begin and end id.
        windowing: the window that slides where sequences outgrow it; None keeps all of a sequence in sight.
        generator: of the draws, on the model's device; the likeliest token each time without one.
        processors: applied to the logits in turn.

    Returns:
        N lists of ids, with the end id last where a sequence came to its end within `max_tokens`.
    """
    bos, eos = ends
    count, device = len(condition), condition.device
    windowing = windowing or Windowing(settings.max_tokens, settings.max_tokens)
    sequences = torch.full((count, settings.max_tokens + 1), eos, dtype=torch.long, device=device)
    sequences[:, 0] = bos
    active = torch.arange(count, device=device)
    lengths = torch.full((count,), settings.max_tokens, dtype=torch.long, device=device)
    start, cache = 0, model.cache(windowing.window)
    for position in range(settings.max_tokens):
        if position - start == windowing.window:
            start, cache = start + windowing.stride, model.cache(windowing.window)
        first = start + cache.length
        hidden = model.hidden(sequences[active, first : position + 1], condition[active], start, cache)
        logits = model.head(hidden[:, -1]).float()
        # A sequence begins once; training never shows this id as what comes next.
        logits[:, bos] = -torch.inf
        for processor in processors:
            logits = processor(sequences[active, : position + 1], logits)
        token = _chosen(logits, settings, generator)
        sequences[active, position + 1] = token
        ended = token == eos
        lengths[active[ended]] = position + 1
        if bool(ended.any()):
            rows = (~ended).nonzero().squeeze(-1)
            active = active[rows]
            if not len(active):
                break
            cache.keep(rows)
    return [row[1 : 1 + n].tolist() for row, n in zip(sequences.cpu(), lengths.tolist(), strict=True)]


def _chosen(logits: Tensor, settings: SamplingSettings, generator: torch.Generator | None) -> Tensor:
    """(N,) the next tokens for logits (N, V)."""
    if generator is None:
        return logits.argmax(-1)
    logits = logits / settings.temperature
    if settings.top_k:
        least = logits.topk(min(settings.top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if settings.top_p < 1:
        ordered, order = logits.sort(descending=True)
        # A token stays if those likelier than it do not reach top_p by themselves.
        beyond = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1) >= settings.top_p
        logits = logits.masked_fill(torch.zeros_like(beyond).scatter(1, order, beyond), -torch.inf)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1)
