"""From the rewards of responses to the weights of their likelihoods."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def plain(rewards: Tensor) -> Tensor:
    """The reward itself (BATON, arXiv 2402.00744)."""
    return rewards


def normalised(rewards: Tensor) -> Tensor:
    """Rewards over their mean, so that the weights' mean is 1; all 0 where the mean is 0."""
    mean = rewards.mean()
    return torch.where(mean != 0, rewards / mean, torch.zeros_like(rewards))


def exponential(rewards: Tensor, temperature: float) -> Tensor:
    """n · softmax(r / τ): reward-weighted regression (Peters and Schaal, ICML 2007), with mean 1."""
    return len(rewards) * torch.softmax(rewards / temperature, 0)


def threshold(rewards: Tensor, above: float) -> Tensor:
    """1 where the reward exceeds `above`, else 0: rejection sampling."""
    return (rewards > above).to(rewards.dtype)


def advantage(rewards: Tensor, clip: float) -> Tensor:
    """Standardised rewards, kept within 0 and `clip`: below the mean a response has no weight."""
    spread = rewards.std(correction=0)
    centred = rewards - rewards.mean()
    return torch.where(spread > 0, centred / spread.clamp(min=1e-12), centred).clamp(0, clip)


WEIGHTS: dict[str, Callable[..., Tensor]] = {
    "reward": plain,
    "normalised": normalised,
    "exponential": exponential,
    "threshold": threshold,
    "advantage": advantage,
}
