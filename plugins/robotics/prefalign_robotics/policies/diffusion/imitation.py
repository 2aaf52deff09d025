"""Supervised training of diffusion policies: every chunk of some episodes is a demonstration.

Records of demonstrations (`chunk_record` without returns) train the same policy through `core/preference_tuning`, with
`core/reward_weighted` as the objective; this loop has the same loss and reads tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from prefalign.functional.noise_path import mean_squared_error
from prefalign_robotics.policies.diffusion.codec import OBSERVATION
from prefalign_robotics.policies.diffusion.denoiser import ActionDenoiser
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.simulator.episodes import Episodes


@dataclass(frozen=True)
class ImitationSettings:
    """How a policy is trained.

    Attributes:
        steps: of the optimiser.
        batch: chunks a step, drawn with replacement.
        learning_rate: peak of a cosine schedule with a twentieth of warm-up.
        weight_decay: of AdamW, whose betas are DeformPAM's, 0.9 and 0.95.
        average: decay of the moving average of the weights, which is what is kept.
    """

    steps: int = 1500
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    average: float = 0.99


def chunks(episodes: Episodes, horizon: int) -> tuple[Tensor, Tensor]:
    """(E·(T − H + 1), O) observations and (…, H, A) the actions from there on, of every step that has as many left.

    Raises:
        SegmentError: for episodes that are shorter than a chunk.
    """
    if not len(episodes) or episodes.steps < horizon:
        raise SegmentError(
            f"{episodes.task}: expected episodes of at least {horizon} steps, got {len(episodes)} of {episodes.steps}"
        )
    windows = np.lib.stride_tricks.sliding_window_view(episodes.actions, horizon, 1)
    actions = torch.from_numpy(windows.transpose(0, 1, 3, 2).copy()).flatten(0, 1)
    observations = torch.from_numpy(episodes.observations[:, : windows.shape[1]].copy()).flatten(0, 1)
    return observations, actions


def imitate(
    episodes: Episodes,
    horizon: int = 8,
    *,
    prediction: str = "sample",
    width: int = 64,
    depth: int = 2,
    seed: int = 0,
    settings: ImitationSettings | None = None,
) -> ActionDenoiser:
    """A policy that imitates all of the given episodes.

    Args:
        episodes: to imitate, as the simulator left them (not `settled`).
        horizon: H steps of a chunk.
        prediction, width, depth: of the network.
        seed: of weights, batches, noise levels and noise.
        settings: of the training.

    Raises:
        SegmentError: for episodes that are shorter than a chunk, or without steps or batch.
    """
    settings = settings or ImitationSettings()
    if min(settings.steps, settings.batch) < 1:
        raise SegmentError(f"expected steps and a batch to imitate with, got {settings.steps} of {settings.batch}")
    observations, actions = chunks(episodes, horizon)
    sizes = {"observation": observations.shape[1], "action": actions.shape[2], "horizon": horizon}
    denoiser = ActionDenoiser({**sizes, "prediction": prediction, "width": width, "depth": depth}, init_seed=seed)
    denoiser.configure_model()
    denoiser.network.set_scales(observations, actions.flatten(0, 1))
    _train(denoiser, observations, denoiser.encode(actions), seed, settings)
    return denoiser


def _train(
    denoiser: ActionDenoiser, observations: Tensor, latents: Tensor, seed: int, settings: ImitationSettings
) -> None:
    """Minimise the denoising error; the averaged weights are put in the network's place at the end."""
    network, path, generator = denoiser.network, denoiser.path, torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, (0.9, 0.95), weight_decay=settings.weight_decay
    )
    warmup = max(1, settings.steps // 20)

    def factor(step: int) -> float:
        return min((step + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * step / settings.steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    average = AveragedModel(network, avg_fn=get_ema_avg_fn(settings.average))
    network.train()
    for _ in range(settings.steps):
        rows = torch.randint(len(latents), (settings.batch,), generator=generator)
        clean = latents[rows]
        level = denoiser.levels.quantile(torch.rand(settings.batch, generator=generator))
        noise = torch.randn(clean.shape, generator=generator)
        prediction = network(
            path.noisy(clean, noise, level), path.model_time(level), **{OBSERVATION: observations[rows]}
        )
        loss = mean_squared_error(prediction, path.target(clean, noise, level)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
    network.load_state_dict(average.module.state_dict())
