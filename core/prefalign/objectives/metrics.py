"""Metrics under TRL's names. A metric without a single row or pair behind it is left out rather than logged as NaN."""

from __future__ import annotations

from torch import Tensor


def pair_metrics(chosen: Tensor, rejected: Tensor) -> dict[str, Tensor]:
    """Means over the (B,) rewards of both ends of the pairs; accuracy counts the pairs ranked as judged."""
    if not len(chosen):
        return {}
    chosen, rejected = chosen.detach(), rejected.detach()
    return {
        "rewards/chosen": chosen.mean(),
        "rewards/rejected": rejected.mean(),
        "rewards/accuracies": (chosen > rejected).to(chosen.dtype).mean(),
        "rewards/margins": (chosen - rejected).mean(),
    }


def mean_metrics(**values: Tensor) -> dict[str, Tensor]:
    """The means of (n,) tensors; a double underscore in a name stands for the slash of the metric's name."""
    return {name.replace("__", "/"): value.detach().mean() for name, value in values.items() if len(value)}
