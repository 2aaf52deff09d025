"""The reference: how the numbers of the model that training starts from are had.

`auto` picks the cheapest exact way: the adapter switched off where only an adapter is trained, else a frozen copy.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prefalign.interfaces import Batch, CapabilityError, Policy, ResponseScores


class Reference(nn.Module, ABC):
    """Where reference scores come from. It is told of the policy once, before training, and after every step."""

    #: Whether its weights must be saved with the checkpoint, because they cannot be had again from the policy's source.
    saved: bool = False

    def configure(self, policy: Policy) -> None:
        """Take what is needed of the untrained policy, whose weights are loaded by now."""

    def prepare(self, policy: Policy, loaders: Iterable[Any], folder: Path | None) -> None:
        """Compute ahead whatever the loaders' batches will ask for, and keep it beside the data in `folder`.

        Most references have nothing to do.
        """

    @abstractmethod
    def scores(self, policy: Policy, batch: Batch) -> ResponseScores:
        """(N,) scores of the batch's rows under the reference, without gradient."""

    def after_step(self, policy: Policy, step: int) -> None:
        """Called after optimiser step number `step` (from 1)."""


class AdapterOff(Reference):
    """The policy itself with its adapter switched off; costs no memory."""

    def configure(self, policy: Policy) -> None:
        """Check that there is an adapter.

        Raises:
            CapabilityError: if the policy trains its full weights.
        """
        if not policy.has_adapter:
            raise CapabilityError(
                "reference adapter_off needs a policy that trains an adapter only; set lora on the policy, or use the "
                "frozen reference"
            )

    @torch.no_grad()
    def scores(self, policy: Policy, batch: Batch) -> ResponseScores:
        """Scores with the adapter off."""
        with policy.adapter_disabled():
            return policy.scores(batch).detach()


class Frozen(Reference):
    """A frozen copy of the policy as it was before training."""

    def __init__(self) -> None:
        super().__init__()
        self.copy: Policy | None = None

    def configure(self, policy: Policy) -> None:
        """Copy the policy."""
        if self.copy is None:
            self.copy = copy.deepcopy(policy).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Frozen:
        """Training mode never reaches the copy."""
        super().train(mode)
        if self.copy is not None:
            self.copy.eval()
        return self

    @torch.no_grad()
    def scores(self, policy: Policy, batch: Batch) -> ResponseScores:
        """Scores of the copy."""
        assert self.copy is not None, "configure comes first"
        return self.copy.scores(batch).detach()


class Auto(Reference):
    """Adapter off where only an adapter is trained, else a frozen copy."""

    def __init__(self) -> None:
        super().__init__()
        self.chosen: Reference | None = None

    def configure(self, policy: Policy) -> None:
        """Choose."""
        if self.chosen is None:
            self.chosen = AdapterOff() if policy.has_adapter else Frozen()
        self.chosen.configure(policy)

    def scores(self, policy: Policy, batch: Batch) -> ResponseScores:
        """Scores of the chosen reference."""
        assert self.chosen is not None, "configure comes first"
        return self.chosen.scores(policy, batch)


class Moving(Frozen):
    """A copy that follows the policy (TR-DPO, arXiv 2404.09656).

    Args:
        mixup: share alpha of the policy in each update, reference ← alpha · policy + (1 − alpha) · reference (Eq. 4);
            1 is the hard update (Eq. 5).
        every: optimiser steps between updates.
    """

    saved = True

    def __init__(self, mixup: float = 0.6, every: int = 512) -> None:
        super().__init__()
        if not 0.0 < mixup <= 1.0 or every < 1:
            raise CapabilityError(f"expected 0 < mixup <= 1 and every >= 1, got {mixup} and {every}")
        self.mixup, self.every = mixup, every

    @torch.no_grad()
    def after_step(self, policy: Policy, step: int) -> None:
        """Move the copy towards the policy when its turn has come."""
        assert self.copy is not None, "configure comes first"
        if step % self.every:
            return
        for mine, theirs in zip(self.copy.parameters(), policy.parameters(), strict=True):
            mine.lerp_(theirs.to(mine.dtype), self.mixup)
        for kept, current in zip(self.copy.buffers(), policy.buffers(), strict=True):
            kept.copy_(current)
