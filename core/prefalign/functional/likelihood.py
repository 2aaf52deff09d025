"""Plain likelihood terms."""

from __future__ import annotations

from torch import Tensor


def token_mean_nll(logps: Tensor, lengths: Tensor) -> Tensor:
    """(B,) negative log-likelihoods in nats, scaled so that their mean is the mean over all tokens of the batch.

    Args:
        logps: (B,) summed log-probabilities.
        lengths: (B,) token counts.
    """
    return -logps / lengths.mean().clamp(min=1)
