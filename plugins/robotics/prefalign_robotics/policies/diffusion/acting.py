"""A diffusion policy at work: plan a chunk, execute its first actions, look again (receding horizon)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from prefalign.interfaces import PrefalignError
from prefalign.policies.denoising import DenoisingPolicy
from prefalign_robotics.policies.diffusion.denoiser import ActionDenoiser
from prefalign_robotics.policies.diffusion.selection import ranked

#: (B, O) observations and (B, C, H, A) candidates to (B, C) rewards.
Judge = Callable[[np.ndarray, Tensor], Tensor]


class Planner:
    """Proposes chunks, and orders them by a judge.

    Args:
        denoiser: the policy that proposes.
        judge: rewards candidates, such as an `ImplicitReward`; None keeps them in the order in which they were drawn.
        candidates: C chunks for each observation.
        seed: of the noise that chunks are made from.

    Raises:
        PrefalignError: without candidates.
    """

    def __init__(
        self, denoiser: ActionDenoiser, judge: Judge | None = None, *, candidates: int = 1, seed: int = 0
    ) -> None:
        if candidates < 1:
            raise PrefalignError(f"expected at least one candidate, got {candidates}")
        self.policy, self.judge, self.candidates = DenoisingPolicy(denoiser), judge, candidates
        self.policy.configure_model()
        self.denoiser = denoiser
        self.generator = torch.Generator().manual_seed(seed)

    def propose(self, observations: np.ndarray) -> Tensor:
        """(B, C, H, A) chunks in the robot's units for (B, O) observations, not ordered."""
        form = self.denoiser.form
        noise = torch.randn(len(observations) * self.candidates, form.horizon, form.action, generator=self.generator)
        condition = self.denoiser.observed(observations)
        latents = self.policy.generate(noise, condition, self.candidates, self.denoiser.steps, 1.0, self.generator)
        return self.denoiser.actions(latents).unflatten(0, (-1, self.candidates))

    def __call__(self, observations: np.ndarray) -> Tensor:
        """(B, C, H, A) chunks in the robot's units, best first; the others are what to fall back on."""
        proposed = self.propose(observations)
        if self.judge is None:
            return proposed
        order = ranked(self.judge(observations, proposed)).to(proposed.device)
        return proposed.gather(1, order[..., None, None].expand_as(proposed))


class ChunkPolicy:
    """Executes the first actions of each slot's best chunk, and plans anew when they are used up.

    It is a policy as `simulator.rollouts` runs them, and is told there when episodes begin; whoever steps simulators by
    other means calls `reset` for the slots whose episodes began.

    Args:
        planner: plans chunks.
        execute: n <= H actions of each chunk that are executed; half of them if None.

    Raises:
        PrefalignError: for an n outside 1 … H.
    """

    def __init__(self, planner: Planner, execute: int | None = None) -> None:
        horizon = planner.denoiser.form.horizon
        self.planner, self.execute = planner, max(1, horizon // 2) if execute is None else execute
        if not 1 <= self.execute <= horizon:
            raise PrefalignError(f"expected to execute 1 to {horizon} actions of each chunk, got {execute}")
        self._chunks: dict[int, np.ndarray] = {}
        self._used: dict[int, int] = {}

    def reset(self, slots: Sequence[int]) -> None:
        """Forget what was planned for these slots."""
        for slot in slots:
            self._chunks.pop(slot, None)

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """(B, A) actions in the robot's units for (B, O) observations of slots 0 … B − 1."""
        slots = range(len(observations))
        stale = [slot for slot in slots if slot not in self._chunks or self._used[slot] == self.execute]
        if stale:
            planned = self.planner(observations[stale])[:, 0].cpu().numpy()
            self._chunks.update(zip(stale, planned, strict=True))
            self._used.update(dict.fromkeys(stale, 0))
        actions = np.stack([self._chunks[slot][self._used[slot]] for slot in slots])
        for slot in slots:
            self._used[slot] += 1
        return actions
