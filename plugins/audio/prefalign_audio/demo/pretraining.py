"""The base of the demonstration: trained on captions as a crawl has them, nearly half of them wrong."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from prefalign.functional.levels import Levels
from prefalign.functional.noise_path import mean_squared_error
from prefalign_audio.demo.denoiser import EventDenoiser


@dataclass(frozen=True)
class PretrainingSettings:
    """How the base is trained.

    Attributes:
        steps: of `batch` clips.
        batch: clips a step.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: of AdamW.
        dropped: share of clips that are shown without their caption, for guidance.
    """

    steps: int = 4000
    batch: int = 48
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    dropped: float = 0.1


def pretrain(
    denoiser: EventDenoiser, latents: Tensor, captions: Tensor, seed: int, settings: PretrainingSettings
) -> None:
    """Train in place; what stays is the average of the weights along the way.

    Args:
        denoiser: with random weights.
        latents: (clips, channels, frames).
        captions: (clips, 2) event classes.
        seed: of batches, levels and noise.
        settings: of the training.
    """
    generator = torch.Generator().manual_seed(seed)
    network, path, levels = denoiser.network, denoiser.path, Levels("logit_normal")
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    rate = 0.3

    def follow(mean: Tensor, now: Tensor, count: Tensor | int) -> Tensor:
        return mean.lerp(now, rate)

    average = AveragedModel(network, avg_fn=follow)
    none = len(denoiser.names)
    for step in range(settings.steps):
        rows = torch.randint(len(latents), (settings.batch,), generator=generator)
        clean = latents[rows]
        events = captions[rows].clone()
        events[torch.rand(settings.batch, generator=generator) < settings.dropped] = none
        level = levels.quantile(torch.rand(settings.batch, generator=generator))
        noise = torch.randn(clean.shape, generator=generator)
        prediction = network(path.noisy(clean, noise, level), path.model_time(level), events)
        loss = mean_squared_error(prediction, path.target(clean, noise, level)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 5 == 4:
            rate = 0.3 if step < 200 else 0.03  # quick at first, while the weights still travel far
            average.update_parameters(network)
    network.load_state_dict(average.module.state_dict())
