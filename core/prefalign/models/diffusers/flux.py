"""Flux: a rectified flow on a transformer that reads pictures in packed squares of four latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefalign.functional.levels import Levels
from prefalign.functional.noise_path import LinearPath
from prefalign.interfaces import Prompt
from prefalign.models.condition import Condition
from prefalign.models.diffusers.base import dynamic_shift, repeated, small_config, texts
from prefalign.models.diffusers.image import ImageDenoiser
from prefalign.models.diffusers.tiny import HashTokenizer, tiny_autoencoder, tiny_clip, tiny_t5


def small_flux(**config: Any) -> Any:
    """A Flux transformer of one double and one single block."""
    from diffusers import FluxTransformer2DModel

    small = {
        "in_channels": 16,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "joint_attention_dim": 16,
        "pooled_projection_dim": 16,
        "axes_dims_rope": (2, 2, 4),
    }
    return FluxTransformer2DModel(**small_config(FluxTransformer2DModel, small, config))


class Flux(ImageDenoiser):
    """Flux.1, whose latents stand here unpacked, (channels, height, width), as its autoencoder makes them.

    Args:
        model, height, width, dtype, init_seed, steps, guidance: as in `ImageDenoiser`. Flux.1-dev has guidance
            distilled into it and takes no other; a guidance above 1 runs the empty prompt beside the text.
        distilled_guidance: scale that a guidance-distilled network is told, in training and sampling.
    """

    pipeline_class = "FluxPipeline"
    levels = Levels("logit_normal")
    steps = 28

    def __init__(self, model: str | dict[str, Any], distilled_guidance: float = 3.5, **options: Any) -> None:
        super().__init__(model, **options)
        self.distilled_guidance = distilled_guidance

    def tiny(self, config: dict[str, Any]) -> Any:
        """A tiny transformer with the flow's Euler scheduler, shifted by the size."""
        from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

        network = small_flux(**config)
        return FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
            vae=tiny_autoencoder(network.config.in_channels // 4),
            text_encoder=tiny_clip(network.config.pooled_projection_dim),
            tokenizer=HashTokenizer(),
            text_encoder_2=tiny_t5(network.config.joint_attention_dim),
            tokenizer_2=HashTokenizer(),
            transformer=network,
        )

    def configure_path(self) -> None:
        """The network reads u."""
        self.path = LinearPath(train_timesteps=self.scheduler.config.num_train_timesteps)

    def channels(self) -> int:
        """Of a latent before packing."""
        packed: int = self.network.config.in_channels
        return packed // 4

    def tokens_side(self) -> int:
        """Two by two latents are a token."""
        return 2

    @torch.no_grad()
    def condition(self, prompts: Sequence[Prompt]) -> Condition:
        """T5's hidden states and CLIP's pooled one."""
        states, pooled, _ = self.ready().encode_prompt(texts(prompts), device=self.device)
        return Condition({"encoder_hidden_states": states, "pooled_projections": pooled})

    def null_condition(self, condition: Condition) -> Condition:
        """The empty text."""
        return repeated(self.condition([Prompt(text="")]), len(condition))

    def predict(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """(N, C, H, W) predictions."""
        rows, columns = noisy.shape[-2] // 2, noisy.shape[-1] // 2
        ids = torch.zeros(rows, columns, 3, device=noisy.device)
        ids[..., 1] = torch.arange(rows, device=noisy.device)[:, None]
        ids[..., 2] = torch.arange(columns, device=noisy.device)
        states = condition.tensors["encoder_hidden_states"]
        told = {"txt_ids": torch.zeros(states.shape[1], 3, device=noisy.device), "img_ids": ids.flatten(0, 1)}
        if self.network.config.guidance_embeds:
            told["guidance"] = torch.full((len(noisy),), self.distilled_guidance, device=noisy.device)
        return unpacked(self.call(packed(noisy), time, {**condition.arguments(), **told}), rows, columns)

    def set_timesteps(self, scheduler: Any, steps: int, shape: Sequence[int], device: torch.device) -> None:
        """Even levels, shifted by the size where the scheduler's config says so."""
        tokens = (shape[-2] // 2) * (shape[-1] // 2)
        sigmas = np.linspace(1.0, 1 / steps, steps)
        scheduler.set_timesteps(sigmas=sigmas, device=device, mu=dynamic_shift(scheduler, tokens))


def packed(latents: Tensor) -> Tensor:
    """(N, H/2 · W/2, 4 C) tokens of (N, C, H, W) latents, row after row; a token holds C squares."""
    squares = latents.unflatten(-1, (-1, 2)).unflatten(2, (-1, 2))  # N C h 2 w 2
    return squares.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpacked(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """(N, C, 2 rows, 2 columns) latents of packed tokens."""
    squares = tokens.unflatten(1, (rows, columns)).unflatten(-1, (-1, 2, 2))  # N h w C 2 2
    return squares.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
