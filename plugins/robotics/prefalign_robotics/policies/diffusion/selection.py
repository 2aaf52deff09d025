"""Choosing among candidate chunks by the implicit reward of a tuned policy.

A policy tuned on preferences holds a reward: how much better than its reference it denoises a chunk. DeformPAM (arXiv
2410.11584) leaves proposing to the supervised policy, and executes what that reward likes best.

Axes: B states, C candidates, N draws of noise, H steps, A numbers of an action, O of an observation.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from prefalign.functional.levels import Levels
from prefalign.functional.noise_path import mean_squared_error
from prefalign.interfaces import PrefalignError
from prefalign_robotics.policies.diffusion.denoiser import ActionDenoiser


class ImplicitReward:
    """r(a|s) = −β · mean over n of w(t_n) [e_θ(a, t_n, ε_n) − e_ref(a, t_n, ε_n)], with e the mean squared error.

    Levels and noise are shared by the candidates of a state, and by policy and reference, so that candidates differ by
    what they are and not by luck.

    Args:
        policy: tuned on preferences.
        reference: what its tuning began with; None for a copy of the policy as it is now, whose reward is 0 until then.
        beta: of the tuning; it scales the reward and changes no choice.
        draws: N pairs of level and noise.
        levels: how levels are drawn; the paper's code takes the first tenth of the steps, where little noise is left.
        min_snr_gamma: bound of the data error's weight, as in the tuning; None weighs all levels alike.
        rows: most rows of one pass through a network.
        seed: of levels and noise.

    Raises:
        PrefalignError: for policies of different sizes or predictions, and numbers out of range.
    """

    def __init__(
        self,
        policy: ActionDenoiser,
        reference: ActionDenoiser | None = None,
        *,
        beta: float = 100.0,
        draws: int = 10,
        levels: Levels | None = None,
        min_snr_gamma: float | None = None,
        rows: int = 4096,
        seed: int = 0,
    ) -> None:
        if not beta > 0 or draws < 1 or rows < 1:
            raise PrefalignError(f"expected beta > 0 and at least one draw and row, got {beta}, {draws} and {rows}")
        if min_snr_gamma is not None and not min_snr_gamma > 0:
            raise PrefalignError(f"expected min_snr_gamma > 0, got {min_snr_gamma}")
        policy.configure_model()
        self.policy = policy
        self.reference = copy.deepcopy(policy) if reference is None else reference
        self.reference.configure_model()
        kinds = [(model.form, model.path.identity()) for model in (self.policy, self.reference)]
        if kinds[0] != kinds[1]:
            raise PrefalignError(
                f"the policy and its reference differ in size or noise path: {kinds[0][0]}, {policy.path.prediction}; "
                f"{kinds[1][0]}, {self.reference.path.prediction}"
            )
        self.beta, self.draws, self.levels = beta, draws, levels or Levels(high=0.1)
        self.min_snr_gamma, self.rows = min_snr_gamma, rows
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, observations: np.ndarray, actions: Tensor) -> Tensor:
        """(B, C) rewards of chunks (B, C, H, A) in the robot's units, after observations (B, O)."""
        states = len(observations)
        uniform = torch.rand(states, self.draws, generator=self.generator)
        noise = torch.randn(states, self.draws, *actions.shape[2:], generator=self.generator)
        return self.at(observations, actions, self.levels.quantile(uniform), noise)

    @torch.no_grad()
    def at(self, observations: np.ndarray, actions: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """The same at given levels (B, N) and noise (B, N, H, A)."""
        states, candidates = actions.shape[:2]
        draws = level.shape[1]
        shape = (states, candidates, draws)
        path, device = self.policy.path, next(self.policy.network.parameters()).device
        clean = self.policy.encode(actions.to(device))[:, :, None].expand(*shape, -1, -1).flatten(0, 2)
        noise = noise.to(device)[:, None].expand(*shape, -1, -1).flatten(0, 2)
        level = level.to(device)[:, None].expand(shape).flatten()
        of_state = torch.arange(states, device=device).repeat_interleave(candidates * draws)
        seen = self.policy.observed(observations)
        noisy, target, time = path.noisy(clean, noise, level), path.target(clean, noise, level), path.model_time(level)
        difference = torch.empty(len(clean), device=device)
        for part in torch.arange(len(clean), device=device).split(self.rows):
            condition = seen.select(of_state[part])
            mine, theirs = (
                mean_squared_error(model.predict(noisy[part], time[part], condition), target[part])
                for model in (self.policy, self.reference)
            )
            difference[part] = mine - theirs
        if self.min_snr_gamma is not None:
            difference = difference * path.min_snr(level, self.min_snr_gamma)
        return -self.beta * difference.reshape(shape).mean(-1)


def ranked(rewards: Tensor) -> Tensor:
    """(B, C) candidates from best to worst of (B, C) rewards; of equal ones the earlier first.

    All but the first are what to fall back on, where the first cannot be executed.
    """
    return rewards.argsort(dim=-1, descending=True, stable=True)
