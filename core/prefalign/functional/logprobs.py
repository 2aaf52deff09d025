"""Per-token log-probabilities straight from hidden states, without the tokens × vocabulary matrix.

The primitive returns log-probabilities and not a loss, so every objective, token weight and cached reference works
above it. The plain path (`gathered_logps` on full logits) stays as its oracle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True)
class TokenStatistics:
    """Per-token results over the M selected positions.

    Attributes:
        logps: (M,) log-probability of each target in nats, float32 (float64 for float64 inputs), differentiable.
        collision: (M,) log of the summed squared probabilities, no gradient; None unless asked for.
        entropy: (M,) entropy in nats, no gradient; None unless asked for.
    """

    logps: Tensor
    collision: Tensor | None = None
    entropy: Tensor | None = None


def gathered_logps(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-probabilities of targets from full logits: the plain path.

    Args:
        logits: (..., V) unnormalised, any float dtype; the arithmetic is float32, or float64 for float64 logits.
        targets: (...) token ids in [0, V).

    Returns:
        (...) log-probabilities in nats.
    """
    wide = logits if logits.dtype == torch.float64 else logits.float()
    picked = wide.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return picked - wide.logsumexp(-1)


def token_logps(
    hidden: Tensor,
    head: Callable[[Tensor], Tensor],
    targets: Tensor,
    *,
    chunk_size: int = 1024,
    statistics: bool = False,
) -> TokenStatistics:
    """Log-probabilities of targets from hidden states, a chunk of tokens at a time.

    No more than `chunk_size` rows of logits exist at once, in either direction: each chunk is recomputed in the
    backward pass. Values and gradients are those of the plain path up to the order of additions.

    Args:
        hidden: (M, D) last hidden states at the positions that predict the targets.
        head: the output head, (m, D) to (m, V); any module, adapters and soft caps included.
        targets: (M,) token ids.
        chunk_size: tokens per chunk. Peak memory is about 3 x chunk_size x V x 4 bytes.
        statistics: also return collision and entropy.

    Raises:
        ValueError: if hidden and targets differ in their number of rows.
    """
    if hidden.shape[0] != targets.shape[0]:
        raise ValueError(f"expected as many targets as hidden states, got {targets.shape[0]} and {hidden.shape[0]}")

    def one_chunk(rows: Tensor, ids: Tensor) -> Tensor:
        return gathered_logps(head(rows), ids)

    logps, collision, entropy = [], [], []
    for rows, ids in zip(hidden.split(chunk_size), targets.split(chunk_size), strict=True):
        if torch.is_grad_enabled():
            # The head holds no dropout, so there is no random state to keep.
            logps.append(checkpoint(one_chunk, rows, ids, use_reentrant=False, preserve_rng_state=False))
        else:
            logps.append(one_chunk(rows, ids))
        if statistics:
            with torch.no_grad():
                logs = head(rows).float().log_softmax(-1)
                collision.append((2 * logs).logsumexp(-1))
                entropy.append(-(logs.exp() * logs).sum(-1))
    if not logps:
        # An empty selection still belongs to the graph, so that backward works on a batch without tokens.
        return TokenStatistics(hidden.sum(-1).float(), *(([hidden.new_zeros(0)] * 2) if statistics else ()))
    return TokenStatistics(
        torch.cat(logps),
        torch.cat(collision) if statistics else None,
        torch.cat(entropy) if statistics else None,
    )
